"""Where the words of a question stand in a passage: what every reader without a network goes by."""

# L words of a passage
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from modicum.reading.data.tokens import Token, tokenize
from modicum.reading.sentences import split_sentences

_STEM_LENGTH = 5  # letters by which inflected forms of a word are taken for one
_QUESTION_STEMS = frozenset(("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "did", "do"))

_FUNCTION_WORDS = re.compile(
    r"after|all|although|an?|and|are|as|at|be|because|been|before|but|by|during|for|from|had|has|he|her|his|however|if"
    r"|in|into|is|its?|many|most|of|on|one|or|she|since|some|that|the|their|there|these|they|this|those|to|was|we|were"
    r"|when|which|while|who|with|you",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Analysed:
    """A passage split up.

    Attributes:
        text: The passage.
        tokens: Its L words.
        stems: Their beginnings in small letters; empty for punctuation.
        sentence: (L,) int; the place of the sentence that each stands in.
    """

    text: str
    tokens: tuple[Token, ...]
    stems: tuple[str, ...]
    sentence: NDArray[np.int64]

    def span(self, first: int, last: int) -> str:
        """Returns the text from word ``first`` to word ``last``, both included."""
        return self.text[self.tokens[first].start : self.tokens[last].end]


@dataclass(frozen=True)
class WordWeights:
    """How much a word in common says: the logarithm of how rare it is.

    Attributes:
        counts: In how many passages a stem occurs.
        total: How many passages there are.
    """

    counts: dict[str, int]
    total: int

    @classmethod
    def of(cls, passages: Iterable[str]) -> "WordWeights":
        """Computes word weights from passages; without passages every word weighs the same.

        Args:
            passages: The passages of the training part.
        """
        texts = list(passages)
        counts = Counter(chain.from_iterable(set(map(_stem, tokenize(text))) for text in texts))
        return cls(dict(counts), len(texts))

    def __call__(self, stem: str) -> float:
        """Returns the weight of a stem: positive, or 0 for punctuation."""
        return math.log((self.total + 2) / (self.counts.get(stem, 0) + 1)) if stem else 0.0

    def matched(self, passage: Analysed, question: str) -> NDArray[np.float64]:
        """Returns the weight of each word of the passage that the question has too, (L,); 0 for the others."""
        wanted = question_stems(question)
        weights = {stem: self(stem) for stem in wanted}
        return np.array([weights.get(stem, 0.0) for stem in passage.stems])


@lru_cache(maxsize=8)  # the questions about a passage come one after the other
def analyse(text: str) -> Analysed:
    """Splits up a passage."""
    tokens = tuple(tokenize(text))
    ends = [sentence.end for sentence in split_sentences(text)]
    sentence = np.searchsorted(ends, [token.start for token in tokens], side="right")
    return Analysed(text, tokens, tuple(map(_stem, tokens)), sentence)


def question_stems(question: str) -> frozenset[str]:
    """Returns the stems of a question's words, without question words."""
    return frozenset(map(_stem, tokenize(question))) - _QUESTION_STEMS - {""}


def is_function_word(word: str) -> bool:
    """Tells whether a word is one of the most frequent English words that name nothing."""
    return _FUNCTION_WORDS.fullmatch(word) is not None


def proximity(matched: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Measures how near each word is to those in common: their weights, decaying by e per ``reach`` words; (L,)."""
    places = np.arange(len(matched))
    found = np.flatnonzero(matched)
    return np.asarray(np.exp(-np.abs(places[:, None] - found) / reach) @ matched[found])


def _stem(token: Token) -> str:
    return token.text[:_STEM_LENGTH].lower() if token.text[:1].isalnum() else ""
