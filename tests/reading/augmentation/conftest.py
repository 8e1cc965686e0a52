import random

import pytest


class DictTranslator:
    """Word for word by a cipher, with noise: each translation but the best loses some words."""

    def __init__(self, cipher, noise=0.0, seed=0):
        self.cipher, self.noise, self.rng = cipher, noise, random.Random(seed)
        self.calls = []

    def translate(self, sentences, n_best):
        self.calls.append(list(sentences))
        return [[self._translated(sentence, self.noise * n) for n in range(n_best)] for sentence in sentences]

    def _translated(self, sentence, noise):
        return " ".join(self.cipher(word) for word in sentence.split() if self.rng.random() >= noise)


@pytest.fixture
def dict_translator():
    """The class of translators by dictionary."""
    return DictTranslator


class WordParaphraser:
    """Replaces words by others."""

    source, method, settings = "words", "dictionary", ""

    def __init__(self, **words):
        self.words, self.asked = words, []

    def paraphrase(self, sentences):
        self.asked.append(list(sentences))
        return [self._paraphrases(sentence) for sentence in sentences]

    def _paraphrases(self, sentence):
        changed = " ".join(self.words.get(word, word) for word in sentence.split())
        return [changed] if changed != sentence else []


@pytest.fixture
def word_paraphraser():
    """The class of paraphrasers by a table of words."""
    return WordParaphraser
