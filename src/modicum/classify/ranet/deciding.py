"""The exit rules of an exported RANet with numpy alone: they decide as `modicum.adaptive.exits` does.

A manifest states a rule as plain JSON; its larger tables are float32, little-endian, in base64: not a bit is lost.
"""

# N samples, n samples at one exit, E exits, P knots of a table
import base64
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modicum.storage.files import JSON

CLOSED = 1e8  # a threshold that no confidence reaches; `modicum.adaptive.exits` and the published code have it too
HOW = {
    "common": "leave at the first exit with confidence >= 1 - knob, at the last in any case",
    "geometric": (
        "leave at the first exit with confidence >= thresholds[exit], at the last in any case. For another knob: "
        "shares = softmax(-knob * (1, 2, ... E)); exit by exit, the threshold is the floor(N * share)-th "
        "largest confidence of those rows of the calibration table that have not left, 1e8 if there are no so many or "
        "none should leave, -1e8 at the last"
    ),
    "gain": (
        "leave at the first exit k where, for every later exit j, the expected (correctness[k, j] - correctness[k, k]) "
        "/ (relative_costs[j] - relative_costs[k]) is below the knob, at the last in any case; correctness is linear "
        "in the confidence at k between knots[k], constant outside"
    ),
}
"""By name of the rule, how it decides; the confidence is the largest probability of the answer, see `ANSWERS`."""
ANSWERS = {
    False: "the logits of the exit; its probabilities are the softmax of logits / temperature",
    True: "the logarithms of the mean of the probabilities of the exits so far, each the softmax of logits / "
    "temperature; every exit is computed up to an image's own",
}
"""By whether exits are averaged, what an answer is."""


class NumpyRule(Protocol):
    """A decision that falls exit by exit."""

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Tells which samples of this confidence (n,) leave at exit ``index``, (n,) bool; at the last exit, all do."""

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Tells for each exit whether any confidence lets a sample leave; the others need not be computed."""


def read_rule(decision: Mapping[str, Any], *, num_exits: int, knob: float) -> NumpyRule:
    """Reads the rule that a manifest states.

    Args:
        decision: The entry ``decision`` of the manifest.
        num_exits: Exits E.
        knob: The knob of the export, to which stated thresholds belong.
    """
    match decision["rule"]:
        case "common":
            return CommonRule(num_exits)
        case "geometric":
            thresholds = np.array(decision["thresholds"], np.float32)
            return ShareRule(unpack_table(decision["calibration"]), solved=(knob, thresholds))
        case "gain":
            costs = np.array(decision["relative_costs"], np.float64)
            return TableRule(unpack_table(decision["knots"]), unpack_table(decision["correctness"]), costs)
    raise ValueError(f"rule must be one of {', '.join(map(repr, HOW))}, got {decision['rule']!r}")


def pack_table(values: NDArray[np.float32]) -> dict[str, JSON]:
    """Packs a table of any shape as JSON data; see `unpack_table`."""
    data = base64.b64encode(values.astype("<f4").tobytes()).decode()
    return {"shape": list(values.shape), "type": "float32, little-endian", "base64": data}


def unpack_table(packed: Mapping[str, Any]) -> NDArray[np.float32]:
    """Restores what was given to `pack_table`, bit for bit."""
    values: NDArray[np.float32] = np.frombuffer(base64.b64decode(packed["base64"]), "<f4").astype(np.float32)
    return values.reshape(packed["shape"])


class CommonRule:
    """`modicum.adaptive.exits.CommonThreshold` in numpy."""

    def __init__(self, num_exits: int) -> None:
        self.num_exits = num_exits

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Returns whether the confidence reaches 1 - knob; at the last exit, all samples leave."""
        return np.full(len(confidence), index == self.num_exits - 1) | (confidence.astype(np.float64) >= 1 - knob)

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for every exit, or only for the last if the threshold is above 1."""
        return (*[knob >= 0] * (self.num_exits - 1), True)


class ShareRule:
    """`modicum.adaptive.exits.GeometricRule` in numpy.

    Args:
        confidence: Shape (N, E), of the calibration samples.
        solved: A knob and its thresholds (E,), to begin with.
    """

    def __init__(self, confidence: NDArray[np.float32], *, solved: tuple[float, NDArray[np.float32]]) -> None:
        self.confidence, self._solved = confidence, solved

    def thresholds(self, knob: float) -> NDArray[np.float32]:
        """Thresholds (E,)."""
        solved = self._solved  # read once: another thread may solve for another knob meanwhile
        if solved[0] != knob:
            solved = self._solved = knob, _solve_thresholds(self.confidence, knob)
        return solved[1]

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Returns whether the confidence reaches the threshold; at the last exit, all samples leave."""
        if index == self.confidence.shape[1] - 1:  # a confidence that is not a number reaches no threshold
            return np.ones(len(confidence), np.bool_)
        reached: NDArray[np.bool_] = confidence >= self.thresholds(knob)[index]
        return reached

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for each exit whose threshold a confidence can reach."""
        return tuple(bool(threshold < CLOSED) for threshold in self.thresholds(knob))


class TableRule:
    """`modicum.adaptive.exits.GainRule` in numpy.

    Args:
        knots: Shape (E, P), rising along P: confidences at each exit.
        correctness: Shape (E, E, P): at [k, j], what exit j gets right, over the knots of exit k.
        relative_costs: Shape (E,), rising: cost up to each exit as a share of the full cost.
    """

    def __init__(
        self, knots: NDArray[np.float32], correctness: NDArray[np.float32], relative_costs: NDArray[np.float64]
    ) -> None:
        self.knots, self.correctness = knots.astype(np.float64), correctness.astype(np.float64)
        self.relative_costs = relative_costs

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Returns whether every later exit gains less than the knob; at the last exit, all samples leave."""
        if index == len(self.relative_costs) - 1:
            return np.ones(len(confidence), np.bool_)
        gains = _interpolate(self.knots[index], self._gains(index), confidence.astype(np.float64))
        below: NDArray[np.bool_] = gains.max(axis=0) < knob
        return below

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns False for an exit if, between any two knots, some later exit gains too much at both."""
        open_exits = []
        for index in range(len(self.relative_costs) - 1):
            gains = self._gains(index)
            open_exits.append(bool(np.minimum(gains[:, :-1], gains[:, 1:]).max(axis=0).min() < knob))
        return (*open_exits, True)

    def _gains(self, index: int) -> NDArray[np.float64]:
        """Returns the expected gain per cost of each later exit at the knots of exit ``index``: (later exits, P)."""
        costs = self.relative_costs[index + 1 :] - self.relative_costs[index]
        gains = self.correctness[index, index + 1 :] - self.correctness[index, index]
        per_cost: NDArray[np.float64] = gains / costs[:, None]
        return per_cost


def _solve_thresholds(confidence: NDArray[np.float32], knob: float) -> NDArray[np.float32]:
    num_samples, num_exits = confidence.shape
    odds = np.exp(-knob * np.arange(1, num_exits + 1) - max(-knob, -knob * num_exits))
    thresholds = np.full(num_exits, CLOSED, np.float32)
    thresholds[-1] = -CLOSED
    for index, share in enumerate((odds / odds.sum())[:-1]):
        count = math.floor(num_samples * share)
        if 0 < count <= len(confidence):
            at_exit = confidence[:, index]
            thresholds[index] = np.partition(at_exit, len(at_exit) - count)[len(at_exit) - count]
            confidence = confidence[at_exit < thresholds[index]]
    return thresholds


def _interpolate(
    knots: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Reads piecewise-linear curves ``values`` (J, P) over ``knots`` (P,) at (n,): (J, n); constant outside."""
    right = np.clip(np.searchsorted(knots, at), 1, len(knots) - 1)
    left = right - 1
    span = np.maximum(knots[right] - knots[left], 1e-12)  # knots may coincide
    weight = np.clip((at - knots[left]) / span, 0, 1)
    curves: NDArray[np.float64] = values[:, left] + weight * (values[:, right] - values[:, left])
    return curves
