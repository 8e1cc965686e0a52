"""Word vectors: from files, made of hashes where there is no file, or left to the network.

Vectors are fixed and travel with a batch, so a word that the training never saw has its vector in prediction.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import numpy as np
from numpy.typing import NDArray

_QUOTES = {"''": '"', "``": '"'}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's step from state to state
HASHED_STD = 0.4  # about that of 300-dimensional GloVe vectors, over words and dimensions


class Found(NamedTuple):
    """Vectors of n words."""

    vectors: NDArray[np.float32]  # (n, p1); zero where a word has none
    known: NDArray[np.bool_]  # (n,)


class WordVectors(Protocol):
    """Where the vector of a word comes from.

    Attributes:
        dimension: p1, numbers per word; 0 if the network trains the vectors itself.
        name: One line on what they are.
    """

    dimension: int
    name: str

    def lookup(self, words: Sequence[str]) -> Found:
        """Returns the vector of each word, and whether it has one."""


@final
class VectorTable:
    """Vectors that were trained elsewhere. A word that is missing is looked for in other forms: see `word_forms`.

    Args:
        words: Distinct; of each row.
        matrix: Shape ``(len(words), p1)``; may be mapped from a file.
        name: One line on what they are.

    Raises:
        ValueError: If there are not as many words as rows.
    """

    def __init__(self, words: Sequence[str], matrix: NDArray[np.float32], name: str) -> None:
        if matrix.ndim != 2 or len(words) != len(matrix):
            raise ValueError(f"{len(words)} words need as many vectors, got an array of shape {matrix.shape}")
        self.words, self.matrix, self.name = tuple(words), matrix, name
        self.dimension = int(matrix.shape[1])
        self._row = {word: row for row, word in enumerate(self.words)}

    def lookup(self, words: Sequence[str]) -> Found:
        """Looks up words; see `WordVectors.lookup`."""
        rows = np.array([self._find(word) for word in words], np.int64)
        known = rows >= 0
        vectors = np.zeros((len(words), self.dimension), np.float32)
        vectors[known] = self.matrix[rows[known]]
        return Found(vectors, known)

    def _find(self, word: str) -> int:
        return next((self._row[form] for form in word_forms(word) if form in self._row), -1)


@final
class HashedVectors:
    """Random vectors that depend on the word, without its case, and on the seed alone.

    Equal words have equal vectors, also those that no training saw: that is enough to match question and passage.
    Nothing is stored, and no version of a library changes them.

    Args:
        dimension: p1.
        seed: Another seed, other vectors.
        std: Standard deviation of their numbers, which are evenly distributed around 0.
    """

    def __init__(self, dimension: int, *, seed: int = 0, std: float = HASHED_STD) -> None:
        self.dimension, self.seed, self.std = dimension, seed, std
        self.name = f"random fixed vectors, {dimension} dimensions, equal for equal words"

    def lookup(self, words: Sequence[str]) -> Found:
        """Looks up words (see `WordVectors.lookup`); every word is known."""
        keys = np.array([self._key(word) for word in words], np.uint64)
        bits = _mix(keys[:, None] + _GOLDEN * np.arange(1, self.dimension + 1, dtype=np.uint64))
        uniform = (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24) - np.float32(0.5)
        return Found(np.float32(math.sqrt(12) * self.std) * uniform, np.ones(len(words), np.bool_))

    def _key(self, word: str) -> int:
        text = f"{self.seed} {word.casefold()}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def _mix(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Applies SplitMix64's output function (G. Steele, D. Lea, C. Flood, OOPSLA 2014): 64 random bits per state."""
    states = (states ^ (states >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    states = (states ^ (states >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return states ^ (states >> np.uint64(31))


@final
class JoinedVectors:
    """Vectors of a table with random dimensions beside them, so that words which the table lacks can match, too.

    Args:
        table: The first dimensions; zero for words that it lacks.
        hashed: The further dimensions.
    """

    def __init__(self, table: VectorTable, hashed: HashedVectors) -> None:
        self.table, self.hashed = table, hashed
        self.dimension = table.dimension + hashed.dimension
        self.name = f"{table.name}, beside {hashed.name}"

    def lookup(self, words: Sequence[str]) -> Found:
        """Looks up words (see `WordVectors.lookup`); every word is known."""
        random = self.hashed.lookup(words)
        return Found(np.concatenate([self.table.lookup(words).vectors, random.vectors], axis=1), random.known)


@final
class TrainedVectors:
    """No vectors: the network trains one for each word of the vocabulary; other words are unknown to it.

    Args:
        words: Of the vocabulary.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.dimension = tuple(words), 0
        self._words = frozenset(words)
        self.name = f"vectors trained with the network, {len(words):,} words"

    def lookup(self, words: Sequence[str]) -> Found:
        """Looks up words (see `WordVectors.lookup`); the vectors have no dimensions."""
        known = np.array([word in self._words for word in words], np.bool_)
        return Found(np.zeros((len(words), 0), np.float32), known)


def word_forms(word: str) -> tuple[str, ...]:
    """Returns the forms under which a word is looked up, best first: as it is, lower, capitalised and upper case.

    Doubled quotation marks are also looked up as one mark.
    """
    return tuple(dict.fromkeys((word, word.lower(), word.capitalize(), word.upper(), _QUOTES.get(word, word))))


@dataclass(frozen=True)
class Coverage:
    """How much of a text has vectors.

    Attributes:
        words: Distinct words.
        covered_words: Those with a vector.
        tokens: All words.
        covered_tokens: Those with a vector.
    """

    words: int
    covered_words: int
    tokens: int
    covered_tokens: int

    def __str__(self) -> str:
        words, tokens = 100 * self.covered_words / self.words, 100 * self.covered_tokens / self.tokens
        return f"{tokens:.1f} % of {self.tokens:,} words, {words:.1f} % of {self.words:,} distinct ones, have vectors"


def measure_coverage(table: WordVectors, counts: Mapping[str, int]) -> Coverage:
    """Measures how many of the counted words have vectors.

    Raises:
        ValueError: If there are no words.
    """
    if not counts:
        raise ValueError("there are no words to cover")
    words = list(counts)
    numbers = np.array([counts[word] for word in words])
    known = table.lookup(words).known
    return Coverage(len(words), int(known.sum()), int(numbers.sum()), int(numbers[known].sum()))
