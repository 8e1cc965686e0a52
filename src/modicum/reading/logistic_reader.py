"""Reading by logistic regression over candidate spans, the baseline with features of Rajpurkar et al., 2016.

Their candidates and several features come from a parser. Here candidates are the spans of up to eight words of a
sentence that neither begin nor end with punctuation, and the features are what plain text shows: words in common with
the question around the span and in its sentence, the span's words, their shapes and their neighbours, each also joined
with what the question asks by. All features are categories, hashed to columns, so a candidate's score is a sum of
weights looked up: some 500 candidates of a question take milliseconds.
"""

# L words of a passage, S candidate spans, F features of a span
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modicum.reading.baselines import overlap
from modicum.reading.breakdowns import question_word
from modicum.reading.data.corpus import Asked, Corpus
from modicum.reading.data.tokens import tokenize
from modicum.reading.matching import (
    Analysed,
    WordWeights,
    analyse,
    is_function_word,
    proximity,
    question_stems,
)

Columns: TypeAlias = NDArray[np.uint32]

MAX_SPAN_TOKENS = 8
NUM_COLUMNS = 2**19
NUM_BINS = 10
TOLERANCE = 1e-4  # of the gradient, where the solver stops

_REACHES = (2.0, 6.0)  # words, of the nearness to words in common
_OPENING, _CLOSING = ("$", "\u00a3", "\u20ac", '"', "``", "'"), ("%", ")", '"', "''")
_MIXER = np.uint32(2654435761)  # 2^32 / golden ratio: spreads joined hashes over the columns


@dataclass(frozen=True)
class LogisticOptions:
    """How the reader is trained.

    Attributes:
        negatives: Wrong candidates taken of each question in each of two rounds: at random in the first, those that
            score best after the first in the second.
        inverse_penalty: scikit-learn's ``C``.
        max_iterations: Of the solver.
        seed: Of the random candidates.
    """

    negatives: int = 15
    inverse_penalty: float = 0.05
    max_iterations: int = 60
    seed: int = 0


class LogisticReader:
    """Answers by the span with the greatest weight; callable as every baseline.

    Args:
        word_weights: Of the words of the training part.
        weights: (NUM_COLUMNS,) of the regression.
    """

    def __init__(self, word_weights: WordWeights, weights: NDArray[np.float64]) -> None:
        self._word_weights, self._weights = word_weights, weights

    def __call__(self, passage: str, question: str) -> str:
        """Returns the best span; it is empty if the passage has no candidate."""
        spans = _candidates(passage)
        if not len(spans.first):
            return ""
        best = int(self.scores(passage, question).argmax())
        return spans.passage.span(int(spans.first[best]), int(spans.last[best]))

    def scores(self, passage: str, question: str) -> NDArray[np.float64]:
        """Returns the log odds of each candidate, (S,), up to a constant."""
        columns = _features(_candidates(passage), question, self._word_weights)
        return np.asarray(self._weights[columns].sum(axis=1))


def fit_logistic_reader(corpus: Corpus, options: LogisticOptions = LogisticOptions()) -> LogisticReader:
    """Trains a reader; some 9,000 questions take about a minute of one core.

    Args:
        corpus: Questions without answers, or whose answers are no candidates, are passed over.
        options: How.

    Raises:
        ValueError: If no question has an answer among the candidates.
    """
    word_weights = WordWeights.of(passage.text for passage in corpus.passages)
    labelled = [_Labelled(asked, right) for asked in corpus.asked() if len(right := _right_candidates(asked))]
    if not labelled:
        raise ValueError("no question has an answer among the candidate spans: give a labelled corpus")
    rng = np.random.default_rng(options.seed)
    chosen = [_random_wrong(each, options.negatives, rng) for each in labelled]
    first = _fitted(labelled, chosen, word_weights, options)
    hard = [_best_wrong(each, first, options.negatives) for each in labelled]
    both = [np.union1d(some, others) for some, others in zip(chosen, hard, strict=True)]
    return _fitted(labelled, both, word_weights, options)


class _Spans(NamedTuple):
    """The candidates of a passage, with those features that no question changes."""

    passage: Analysed
    first: NDArray[np.int64]  # (S,) word
    last: NDArray[np.int64]  # (S,) word, included
    columns: Columns  # (S, F')


class _Labelled(NamedTuple):
    asked: Asked
    right: NDArray[np.int64]  # places of the right candidates


def _fitted(
    labelled: Sequence[_Labelled],
    wrong: Sequence[NDArray[np.int64]],
    word_weights: WordWeights,
    options: LogisticOptions,
) -> LogisticReader:
    from scipy.sparse import csr_matrix
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, labels = [], []
    for each, others in zip(labelled, wrong, strict=True):
        columns = _features(_candidates(each.asked.passage.text), each.asked.question.text, word_weights)
        rows += [columns[each.right], columns[others]]
        labels += [np.ones(len(each.right)), np.zeros(len(others))]
    used, places = np.unique(np.concatenate(rows), return_inverse=True)
    total, width = places.shape
    starts = np.arange(0, places.size + 1, width)
    matrix = csr_matrix((np.ones(places.size), places.ravel(), starts), shape=(total, len(used)))
    model = LogisticRegression(C=options.inverse_penalty, max_iter=options.max_iterations, tol=TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is a part of the options
        model.fit(matrix, np.concatenate(labels))
    weights = np.zeros(NUM_COLUMNS)
    weights[used] = model.coef_[0]
    return LogisticReader(word_weights, weights)


def _right_candidates(asked: Asked) -> NDArray[np.int64]:
    spans = _candidates(asked.passage.text)
    tokens = spans.passage.tokens
    bounds = {(answer.start, answer.end) for answer in asked.question.answers}
    places = zip(spans.first.tolist(), spans.last.tolist(), strict=True)
    return np.array([n for n, (i, j) in enumerate(places) if (tokens[i].start, tokens[j].end) in bounds], np.int64)


def _random_wrong(each: _Labelled, total: int, rng: np.random.Generator) -> NDArray[np.int64]:
    wrong = np.setdiff1d(np.arange(len(_candidates(each.asked.passage.text).first)), each.right)
    return np.asarray(rng.choice(wrong, min(total, len(wrong)), replace=False))


def _best_wrong(each: _Labelled, reader: LogisticReader, total: int) -> NDArray[np.int64]:
    order = np.argsort(-reader.scores(each.asked.passage.text, each.asked.question.text), kind="stable")
    return np.asarray(order[~np.isin(order, each.right)][:total])


@lru_cache(maxsize=8)  # the questions about a passage come one after the other
def _candidates(text: str) -> _Spans:
    passage = analyse(text)
    words = [token.text for token in passage.tokens]
    is_word = np.array([word[:1].isalnum() for word in words], bool)
    is_first = np.array([word[:1].isalnum() or word in _OPENING for word in words], bool)
    is_last = np.array(
        [word in _CLOSING or (word[:1].isalnum() and not is_function_word(word)) for word in words], bool
    )
    places = np.arange(len(words))
    first = np.repeat(places, MAX_SPAN_TOKENS)
    last = first + np.tile(np.arange(MAX_SPAN_TOKENS), len(words))
    inside = last < len(words)
    first, last = first[inside], last[inside]
    legal = is_first[first] & is_last[last] & (passage.sentence[first] == passage.sentence[last])
    legal &= is_word[first] | is_word[last]
    first, last = first[legal], last[legal]
    return _Spans(passage, first, last, _passage_columns(words, first, last))


def _passage_columns(words: Sequence[str], first: NDArray[np.int64], last: NDArray[np.int64]) -> Columns:
    """Computes features of the span's words, their shapes and neighbours."""
    around = ["<", *words, ">"]
    lower = [_hash(word.lower()) for word in around]
    shapes = [_shape(word) for word in around]
    hashes, shape_hashes = np.array(lower, np.uint32), np.array([_hash(shape) for shape in shapes], np.uint32)
    patterns = [" ".join(shapes[i + 1 : j + 2]) for i, j in zip(first.tolist(), last.tolist(), strict=True)]
    columns = [
        hashes[first + 1],
        hashes[last + 1],
        hashes[first],
        hashes[last + 2],
        shape_hashes[first],
        shape_hashes[last + 2],
        (last - first).astype(np.uint32),
        np.array([_hash(pattern) for pattern in patterns], np.uint32),
    ]
    return np.stack([_joined(column, _hash(f"span {n}")) for n, column in enumerate(columns)], axis=1)


def _features(spans: _Spans, question: str, word_weights: WordWeights) -> Columns:
    """Computes all features of all candidates for a question, (S, F)."""
    asked = question_word(question)
    matched = _match_columns(spans, question, word_weights)
    plain = np.concatenate([spans.columns, matched], axis=1)
    noun = _joined(spans.columns, _hash(f"noun {_noun_asked(question)}"))
    columns = [plain, _joined(plain, _hash(f"asked {asked}")), noun]
    hashed: Columns = np.concatenate(columns, axis=1) % np.uint32(NUM_COLUMNS)
    return hashed


def _match_columns(spans: _Spans, question: str, word_weights: WordWeights) -> Columns:
    """Computes features of where the question's words stand relative to the span, as binned shares of their weight."""
    passage, first, last = spans.passage, spans.first, spans.last
    matched = word_weights.matched(passage, question)
    sums = np.concatenate([[0.0], matched.cumsum()])
    total = sum(map(word_weights, question_stems(question))) or 1.0
    in_sentence = overlap(passage, matched) / total
    inside = (sums[last + 1] - sums[first]) / total
    ranks = np.argsort(np.argsort(-in_sentence, kind="stable"))
    is_in = np.concatenate([[False], matched > 0, [False]])
    columns = [
        _binned(in_sentence[passage.sentence[first]]),
        np.minimum(ranks[passage.sentence[first]], NUM_BINS),
        _binned(inside),
        is_in[first] * 2 + is_in[last + 2],
        _binned(inside) * 16 + np.minimum(last - first, 15),
    ]
    for reach in _REACHES:
        near = proximity(matched, reach) / total
        columns += [_binned(near[first]), _binned(near[last])]
    for reach in (3, 8):
        left = sums[first] - sums[np.maximum(first - reach, 0)]
        right = sums[np.minimum(last + 1 + reach, len(matched))] - sums[last + 1]
        columns += [_binned(left / total), _binned(right / total)]
    return np.stack(
        [_joined(column.astype(np.uint32), _hash(f"match {n}")) for n, column in enumerate(columns)], axis=1
    )


def _noun_asked(question: str) -> str:
    """Returns the word after the question word: "year" of "in what year"; empty if there is none."""
    words = [token.text.lower() for token in tokenize(question)]
    places = [place for place, word in enumerate(words) if word in ("what", "which", "many", "much", "how")]
    return words[places[-1] + 1] if places and places[-1] + 1 < len(words) else ""


def _shape(word: str) -> str:
    """Names the kind of a word; function words and punctuation are kinds of their own."""
    if not word[:1].isalnum() or is_function_word(word):
        return word.lower()
    if word[:1].isdigit():
        return "year" if len(word) == 4 and word.isdigit() else "number"
    if word.isupper() and len(word) > 1:
        return "XX"
    return "Xx" if word[:1].isupper() else f"x{word[-2:]}" if len(word) > 5 else "x"


def _binned(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins the square roots of shares, as most shares are small."""
    return np.asarray(np.minimum(np.sqrt(np.maximum(shares, 0.0)) * NUM_BINS, 2 * NUM_BINS), np.int64)


def _joined(columns: Columns, salt: int) -> Columns:
    """Hashes pairs of a feature and something else."""
    mixed = (columns ^ np.uint32(salt)) * _MIXER
    return np.asarray(mixed ^ (mixed >> np.uint32(15)))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogatepass"))
