"""What a reader takes of some examples, as numpy arrays: for batches of the training, and where there is no PyTorch."""

# B examples, L passage words, M question words, V distinct words, W characters, p1 word dimensions
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.reading.data.examples import Example
from modicum.reading.data.vectors import WordVectors
from modicum.reading.data.vocabulary import FIRST, PADDING, UNKNOWN, Vocabulary


class Arrays(NamedTuple):
    """Fields and meaning are those of `modicum.reading.inputs.Inputs`."""

    words: NDArray[np.int64]  # (V,)
    vectors: NDArray[np.float32]  # (V, p1)
    characters: NDArray[np.int64]  # (V, W)
    passage: NDArray[np.int64]  # (B, L)
    question: NDArray[np.int64]  # (B, M)
    match: NDArray[np.float32]  # (B, L)


def make_arrays(
    examples: Sequence[Example], vocabulary: Vocabulary, vectors: WordVectors, word_characters: int
) -> Arrays:
    """Makes the arrays of at least one example, in the order given.

    Args:
        examples: Windows of passages with questions.
        vocabulary: The vocabulary of the training.
        vectors: Word vectors, p1 dimensions.
        word_characters: W.
    """
    rows: dict[str, int] = {}
    passages = [example.words for example in examples]
    passage = _pad([[rows.setdefault(word, len(rows) + 1) for word in words] for words in passages])
    question = _pad([[rows.setdefault(word, len(rows) + 1) for word in example.question] for example in examples])
    match = np.zeros(passage.shape, np.float32)
    for place, example, words in zip(match, examples, passages, strict=True):
        place[: len(words)] = match_words(words, example.question)
    return Arrays(*_table(list(rows), vocabulary, vectors, word_characters), passage, question, match)


def match_words(passage: Sequence[str], question: Sequence[str]) -> NDArray[np.float32]:
    """Returns 1 for each word of the passage that also occurs in the question, shape ``(len(passage),)``.

    Case does not matter; punctuation and what is left of contractions ("'s") never match.
    """
    asked = {word.casefold() for word in question if word[0].isalnum()}
    return np.fromiter((word.casefold() in asked for word in passage), np.float32, len(passage))


def _table(
    words: list[str], vocabulary: Vocabulary, vectors: WordVectors, word_characters: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Builds vocabulary rows (V,), vectors (V, p1) and characters (V, W); the first row is padding."""
    found = vectors.lookup(words)
    # A word that has a vector though the vocabulary lacks it only has to differ from an unknown one.
    rows = np.where(found.known, vocabulary.word_rows(words).clip(min=FIRST), UNKNOWN)
    characters = vocabulary.character_rows(words, word_characters)
    return np.pad(rows, (1, 0)), np.pad(found.vectors, ((1, 0), (0, 0))), np.pad(characters, ((1, 0), (0, 0)))


def _pad(rows: list[list[int]]) -> NDArray[np.int64]:
    """Stacks rows into a table (B, longest), padded at the end."""
    padded = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded
