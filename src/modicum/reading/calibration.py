"""How far a reader's probabilities can be trusted, and from which margin on it should rather say nothing."""

# Q questions
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from modicum.storage.files import JSON

NUM_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answers whose probabilities lie in one range.

    Attributes:
        low: Least probability, excluded (but 0 is in the first bin).
        high: Greatest probability, included.
        total: How many answers.
        probability: Their mean probability.
        exact: Share of them that are right.
    """

    low: float
    high: float
    total: int
    probability: float
    exact: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram.

    Attributes:
        bins: Of equal width, from 0 up; bins without answers are left out.
        expected_error: Mean distance between probability and share of right answers, over answers (ECE), in [0, 1].
    """

    bins: tuple[Bin, ...]
    expected_error: float

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class NoAnswerThreshold:
    """When a reader answers: where its best span beats the empty answer by more than ``margin``.

    Attributes:
        margin: In nats; finite.
        score: Mean score with it on the questions that it was chosen on, in percent.
    """

    margin: float
    score: float


def reliability(probabilities: Sequence[float], exact: Sequence[float], num_bins: int = NUM_BINS) -> Reliability:
    """Compares the probabilities of answers with how often they are right.

    Args:
        probabilities: Of the Q answers given, in [0, 1].
        exact: 1 where the answer is right, else 0, of the same Q.
        num_bins: Bins between 0 and 1.

    Raises:
        ValueError: If there are no answers, the two differ in length, or a probability is outside [0, 1].
    """
    sure, right = np.asarray(probabilities, float), np.asarray(exact, float)
    _check_lengths(sure, right)
    outside = sure[~((sure >= 0) & (sure <= 1))]
    if outside.size:
        raise ValueError(f"probabilities must lie in [0, 1], got {outside[0]}: give exp(score) of each answer")
    edges = np.linspace(0, 1, num_bins + 1)
    places = np.clip(np.searchsorted(edges, sure) - 1, 0, num_bins - 1)
    bins = tuple(
        Bin(
            low=float(edges[place]),
            high=float(edges[place + 1]),
            total=int((places == place).sum()),
            probability=float(sure[places == place].mean()),
            exact=float(right[places == place].mean()),
        )
        for place in np.unique(places)
    )
    return Reliability(bins, sum(each.total * abs(each.probability - each.exact) for each in bins) / len(sure))


def tune_no_answer(
    margins: Sequence[float], answered: Sequence[float], has_answer: Sequence[bool]
) -> NoAnswerThreshold:
    """Finds the margin between answering and not answering that gives the best mean score.

    Unlike the search of the official 2.0 script (`modicum.reading.metrics.score_v2`), it never separates questions of
    equal margin, so its score can be reached, and it lies midway between two questions, so it generalises.

    Args:
        margins: For each of Q questions, log probability of its best span minus that of the empty answer.
        answered: Score of the best span, EM or F1 in [0, 1]; not read where the question has no answer.
        has_answer: Whether the question has one.

    Returns:
        The best threshold; of several, the greatest, so that the reader abstains rather than answers wrongly.

    Raises:
        ValueError: If there are no questions, lengths differ, or a margin is not finite.
    """
    margin, gain = np.asarray(margins, float), np.asarray(answered, float)
    answerable = np.asarray(has_answer, bool)
    _check_lengths(margin, gain)
    _check_lengths(margin, answerable)
    if not np.isfinite(margin).all():
        raise ValueError(f"{(~np.isfinite(margin)).sum()} margins are not finite: check the logits of the reader")
    order = np.argsort(-margin, kind="stable")
    gains = np.where(answerable, gain, -1.0)[order]
    totals = (~answerable).sum() + np.concatenate([[0.0], gains.cumsum()])  # after answering the first 0, 1, ... Q
    falling = margin[order]
    bounds = np.concatenate([[falling[0] + 1], falling, [falling[-1] - 1]])
    possible = np.flatnonzero(bounds[:-1] > bounds[1:])
    best = int(possible[totals[possible].argmax()])
    # Rounding must not reach the question above, which is to be answered.
    middle = min((bounds[best] + bounds[best + 1]) / 2, np.nextafter(bounds[best], -np.inf))
    return NoAnswerThreshold(float(middle), float(100 * totals[best] / len(margin)))


def _check_lengths(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    if not len(first) or len(first) != len(second):
        raise ValueError(f"needs as many scores as questions, at least one; got {len(first)} and {len(second)}")
