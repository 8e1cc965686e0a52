"""Numbers for words and characters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.storage.errors import DataError
from modicum.storage.sealing import read_sealed, write_sealed

PADDING, UNKNOWN, FIRST = 0, 1, 2  # FIRST is the row of the first word, and of the first character


@dataclass(frozen=True)
class Vocabulary:
    """The words and characters that a network has numbers for; row 0 is padding, row 1 unknown.

    Attributes:
        words: Distinct; the first has row 2.
        characters: Distinct, each a code point; the first has row 2.
    """

    words: tuple[str, ...]
    characters: tuple[str, ...]

    @property
    def num_words(self) -> int:
        """Rows of words, padding and unknown included."""
        return FIRST + len(self.words)

    @property
    def num_characters(self) -> int:
        """Rows of characters, padding and unknown included."""
        return FIRST + len(self.characters)

    def word_rows(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Returns the row of each word, shape ``(len(words),)``."""
        rows = self._word_rows
        return np.array([rows.get(word, UNKNOWN) for word in words], np.int64)

    def character_rows(self, words: Sequence[str], width: int) -> NDArray[np.int64]:
        """Returns rows of each word's first ``width`` characters, shape ``(len(words), width)``, padded at the end."""
        rows = self._character_rows
        out = np.full((len(words), width), PADDING, np.int64)
        for place, word in zip(out, words, strict=True):
            beginning = word[:width]
            place[: len(beginning)] = [rows.get(character, UNKNOWN) for character in beginning]
        return out

    def save(self, path: str | Path) -> None:
        """Writes JSON, atomically."""
        write_sealed(path, {name: list(texts) for name, texts in asdict(self).items()})

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Reads what `save` wrote; raises `DataError` if the file is missing or damaged."""
        content = read_sealed(path, remedy="put a copy back, or begin a new run")
        try:
            return cls(tuple(map(str, content["words"])), tuple(map(str, content["characters"])))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} is a damaged vocabulary: {error!r}; begin a new run") from error

    @cached_property
    def _word_rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words, start=FIRST)}

    @cached_property
    def _character_rows(self) -> dict[str, int]:
        return {character: row for row, character in enumerate(self.characters, start=FIRST)}


def count_words(texts: Iterable[Sequence[str]]) -> Counter[str]:
    """Counts how often each word occurs in tokenised texts."""
    return Counter(word for text in texts for word in text)


def make_vocabulary(counts: Counter[str], *, min_words: int = 2, min_characters: int = 2) -> Vocabulary:
    """Makes the vocabulary of the training's words, most frequent first, ties in the order of their code points.

    Args:
        counts: Occurrences of each word.
        min_words: Rarer words have no row of their own, so that the row of unknown words is trained, too.
        min_characters: The same for characters, counted over all occurrences of all words.
    """
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    return Vocabulary(_frequent(counts, min_words), _frequent(characters, min_characters))


def _frequent(counts: Counter[str], least: int) -> tuple[str, ...]:
    kept = (item for item in counts.items() if item[1] >= least)
    return tuple(text for text, _ in sorted(kept, key=lambda item: (-item[1], item[0])))
