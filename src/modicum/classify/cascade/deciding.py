"""Decides with numpy alone, as an exported cascade does: running answers, their confidence, and nested thresholds.

`modicum.classify.exiting`, `modicum.classify.confidence` and `modicum.adaptive.cascades` do the same in PyTorch.
"""

# B batch, n images at one step, M steps, K classes, P rows of thresholds
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modicum.classify.confidence_names import ConfidenceName
from modicum.storage.files import JSON

RULE = "nested thresholds"
TINIEST = 1e-30  # of a probability, so that its logarithm is finite; `modicum.classify.confidence` has it, too
HOW = (
    "leave at the first step with confidence >= thresholds[row][step], at the last in any case; "
    "row = floor(min(max(knob, 0), 1) * (rows - 1) + 1e-9)"
)
ANSWERS = {
    True: "the mean of the probabilities of the steps so far",
    False: "the probabilities of the last step that ran",
}
"""Descriptions of an answer, by whether answers are averaged."""
CONFIDENCES: Mapping[ConfidenceName, str] = {
    "margin": "the largest probability of the answer less the second largest",
    "probability": "the largest probability of the answer",
    "entropy": "1 - entropy of the answer / log(number of classes)",
    "agreement": "the margin of the answer, or 0 where the steps so far, each by itself, name different classes",
}
"""Descriptions of the measures of confidence, by name."""


class NumpyRule(Protocol):
    """A decision that is made step by step."""

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Tells which images of this confidence (n,) leave at step ``index``, (n,) bool; at the last, all do."""


class NestedRule:
    """Lets images leave as `modicum.adaptive.cascades.NestedThresholds` does.

    Args:
        table: Shape (P, M - 1), falling along P.
    """

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = table

    def thresholds(self, knob: float) -> NDArray[np.float32]:
        """Returns the thresholds (M - 1,) of a knob."""
        last = len(self.table) - 1
        row: NDArray[np.float32] = self.table[int(min(max(knob, 0.0), 1.0) * last + 1e-9)]
        return row

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Tells which images of this confidence (n,) leave at step ``index``, (n,) bool; at the last, all do."""
        if index == self.table.shape[1]:  # a confidence that is not a number reaches no threshold
            return np.ones(len(confidence), np.bool_)
        reached: NDArray[np.bool_] = confidence >= self.thresholds(knob)[index]
        return reached


class Running(NamedTuple):
    """Holds what images answer so far; all arrays have one row per image that has not left."""

    logs: NDArray[np.float32]  # (n, K): logarithms of the answer's probabilities
    sure: NDArray[np.float32]  # (n,), in [0, 1]
    total: NDArray[np.float32]  # (n, K): the sum of the probabilities of the steps so far
    first: NDArray[np.int64]  # (n,): the class that the first step names
    agree: NDArray[np.bool_]  # (n,): whether all steps so far name it

    def only(self, mask: NDArray[np.bool_]) -> "Running":
        """Returns the rows where ``mask`` (n,) is True."""
        return Running(self.logs[mask], self.sure[mask], self.total[mask], self.first[mask], self.agree[mask])


class Decision:
    """Turns the log-probabilities of steps into answers, and decides which images leave.

    Args:
        rule: Decides which images leave.
        average: Whether an answer is the mean of the probabilities of the steps so far, or the step's own.
        confidence: Measure of confidence.
    """

    def __init__(self, rule: NumpyRule, *, average: bool, confidence: ConfidenceName) -> None:
        self.rule, self.average, self.confidence = rule, average, confidence

    @classmethod
    def read(cls, decision: Mapping[str, Any]) -> "Decision":
        """Reads the entry ``decision`` of a manifest; see `describe`.

        Raises:
            ValueError: If its rule or confidence is unknown.
        """
        if decision["rule"] != RULE:
            raise ValueError(f"rule must be {RULE!r}, got {decision['rule']!r}")
        if decision["confidence"] not in CONFIDENCES:
            raise ValueError(f"confidence must be one of {', '.join(CONFIDENCES)}, got {decision['confidence']!r}")
        thresholds = np.array(decision["thresholds"], np.float32).reshape(len(decision["thresholds"]), -1)
        return cls(NestedRule(thresholds), average=bool(decision["average"]), confidence=decision["confidence"])

    def answer(self, index: int, own: NDArray[np.float32], before: Running | None) -> Running:
        """Returns the answers after step ``index``.

        Args:
            index: The step.
            own: Shape (n, K): log-probabilities of this step alone.
            before: The answers after the step before; None at the first.
        """
        probabilities, named = np.exp(own), own.argmax(axis=1)
        first = named if before is None else before.first
        agree = named == first if before is None else before.agree & (named == first)
        total = probabilities if before is None else probabilities + before.total
        logs = own
        if self.average:
            logs = np.log(np.maximum(total / np.float32(index + 1), np.float32(TINIEST)))
        return Running(logs, measure_sureness(np.exp(logs), self.confidence, agree), total, first, agree)


def describe(thresholds: NDArray[np.float32], *, average: bool, confidence: ConfidenceName) -> dict[str, JSON]:
    """Returns a decision as plain data, which `Decision.read` reads.

    Args:
        thresholds: Shape (P, M - 1), falling along P.
        average: As of `Decision`.
        confidence: As of `Decision`.
    """
    return {
        "rule": RULE,
        "how": HOW,
        "thresholds": thresholds.tolist(),
        "average": average,
        "answer": ANSWERS[average],
        "confidence": confidence,
        "confidence_is": CONFIDENCES[confidence],
    }


def measure_sureness(
    answers: NDArray[np.float32], name: ConfidenceName, agree: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Returns how sure answers are (n,), in [0, 1]; see `modicum.classify.confidence.sureness`.

    Args:
        answers: Probabilities (n, K), K at least 2.
        name: The measure.
        agree: Shape (n,): whether all steps so far name the same class.
    """
    if name == "entropy":
        logs = np.log(answers, out=np.zeros_like(answers), where=answers != 0)
        surest: NDArray[np.float32] = 1 + (answers * logs).sum(axis=1) / np.float32(math.log(answers.shape[1]))
        return surest.clip(0, 1)
    best = np.partition(answers, answers.shape[1] - 2, axis=1)[:, -2:]  # ascending; not a number comes last
    if name == "probability":
        return best[:, 1]
    margin: NDArray[np.float32] = best[:, 1] - best[:, 0]
    return margin * agree if name == "agreement" else margin
