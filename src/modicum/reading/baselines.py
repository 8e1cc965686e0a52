"""What a reader has to beat, without training: chance, the sentence with most words in common, words near those.

The baseline with training is `modicum.reading.logistic_reader`.
"""

# L words of a passage
import hashlib
import random
import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modicum.reading.breakdowns import question_word
from modicum.reading.data.corpus import Corpus
from modicum.reading.matching import Analysed, WordWeights, analyse, is_function_word, proximity

Baseline: TypeAlias = Callable[[str, str], str]
"""From a passage and a question to an answer in the passage; empty if the passage has no words."""

MAX_RANDOM_TOKENS = 8
WINDOW_TOKENS = 3  # about the mean length of SQuAD's answers
REACH_TOKENS = 4.0

_NUMERIC_NOUN = re.compile(
    r"\b(?:what|which) (?:year|date|day|month|decade|century|percent|percentage|number)", re.IGNORECASE
)
_LIKELY_NAMES = ("who", "where", "what", "which")  # asked for by these


def answer_all(baseline: Baseline, corpus: Corpus) -> dict[str, str]:
    """Returns the answers to all questions of a corpus, by question id."""
    return {question.id: baseline(passage.text, question.text) for passage, question in corpus.asked()}


def baselines(weights: WordWeights) -> dict[str, Baseline]:
    """Returns all baselines that need no training by their names in reports, weakest first.

    Args:
        weights: The weights of the words of the training part.
    """
    return {
        "random span": random_span,
        "random sentence": random_sentence,
        "sentence with most words in common": lambda passage, question: best_sentence(passage, question, weights),
        "words nearest to those in common": lambda passage, question: nearest_window(passage, question, weights),
        "the same, of the type asked for": lambda passage, question: typed_window(passage, question, weights),
    }


def random_span(passage: str, question: str) -> str:
    """Returns a span of one to eight words, drawn by a hash of both texts."""
    analysed = analyse(passage)
    if not analysed.tokens:
        return ""
    rng = _generator(passage, question)
    first = rng.randrange(len(analysed.tokens))
    return analysed.span(first, min(first + rng.randrange(MAX_RANDOM_TOKENS), len(analysed.tokens) - 1))


def random_sentence(passage: str, question: str) -> str:
    """Returns a sentence, drawn by a hash of both texts."""
    analysed = analyse(passage)
    if not analysed.tokens:
        return ""
    return _sentence(analysed, _generator(passage, question).choice(np.unique(analysed.sentence).tolist()))


def best_sentence(passage: str, question: str, weights: WordWeights) -> str:
    """Returns the sentence whose distinct words in common with the question weigh most, the first of equals."""
    analysed = analyse(passage)
    if not analysed.tokens:
        return ""
    return _sentence(analysed, int(overlap(analysed, weights.matched(analysed, question)).argmax()))


def nearest_window(passage: str, question: str, weights: WordWeights) -> str:
    """Returns three words of one sentence that are near the question's words, in a sentence with many of them."""
    analysed = analyse(passage)
    return _best_run(analysed, weights.matched(analysed, question), _windows(analysed))


def typed_window(passage: str, question: str, weights: WordWeights) -> str:
    """Returns the best run of words of the type asked for, by the rule of `nearest_window`.

    The type is numbers for "when", "how many" and nouns like "what year", capitalised words for "who" and "where", and
    either for other questions with "what" and "which". If the passage has no run of that type, returns the best window.
    """
    analysed = analyse(passage)
    matched = weights.matched(analysed, question)
    runs = _runs(analysed, _of_type_asked(analysed, question), matched)
    return _best_run(analysed, matched, runs or _windows(analysed))


def overlap(passage: Analysed, matched: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums the weights of the distinct words in common of each sentence; 0 for sentences without words."""
    totals = np.zeros(passage.sentence.max() + 1)
    seen = {(passage.sentence[place], passage.stems[place]): matched[place] for place in np.flatnonzero(matched)}
    for (sentence, _), weight in seen.items():
        totals[sentence] += weight
    return totals


def _of_type_asked(passage: Analysed, question: str) -> NDArray[np.bool_]:
    """Tells which words are of the type that a question asks for, (L,)."""
    asked = question_word(question)
    is_number = np.array([token.text[:1].isdigit() for token in passage.tokens], bool)
    if asked in ("when", "how many") or _NUMERIC_NOUN.search(question):
        return is_number
    if asked not in _LIKELY_NAMES:
        return np.zeros_like(is_number)
    starts = np.diff(passage.sentence, prepend=-1) > 0
    is_name = [
        token.text[:1].isupper() and not (is_start and is_function_word(token.text))
        for token, is_start in zip(passage.tokens, starts, strict=True)
    ]
    return np.array(is_name, bool) | (is_number & (asked in ("what", "which")))


def _best_run(passage: Analysed, matched: NDArray[np.float64], runs: list[tuple[int, int]]) -> str:
    """Returns the span nearest to the words in common; such words inside a span do not add to its score."""
    if not runs:
        return ""
    near = proximity(matched, REACH_TOKENS) + overlap(passage, matched)[passage.sentence]
    near = near * (matched == 0)
    first, last = max(runs, key=lambda run: float(near[run[0] : run[1] + 1].mean()))
    return passage.span(first, last)


def _windows(passage: Analysed) -> list[tuple[int, int]]:
    """Returns the first and last word of each window; only sentences shorter than a window have shorter ones."""
    windows = []
    for sentence in np.unique(passage.sentence):
        places = np.flatnonzero(passage.sentence == sentence)
        size = min(WINDOW_TOKENS, len(places))
        windows += [(int(first), int(first) + size - 1) for first in places[: len(places) - size + 1]]
    return windows


def _runs(passage: Analysed, is_type: NDArray[np.bool_], matched: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Returns the first and last word of each longest run in one sentence of words of the type, not in common."""
    runs: list[tuple[int, int]] = []
    for place in np.flatnonzero(is_type & (matched == 0)).tolist():
        if runs and runs[-1][1] == place - 1 and passage.sentence[place] == passage.sentence[place - 1]:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


def _sentence(passage: Analysed, place: int) -> str:
    inside = np.flatnonzero(passage.sentence == place)
    return passage.span(int(inside[0]), int(inside[-1]))


def _generator(passage: str, question: str) -> random.Random:
    key = f"{passage}\0{question}".encode(errors="surrogatepass")
    return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()))
