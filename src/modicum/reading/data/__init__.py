"""Passages with questions: files, tokens, vocabularies, word vectors, batches."""
