"""Decides at which exit of a network each sample leaves: three rules from confidences to exits, each with one knob.

The geometric rule deals out shares of samples per exit, from which thresholds follow (G. Huang et al., *Multi-Scale
Dense Networks for Resource Efficient Image Classification*, ICLR 2018, section 3). The gain rule is our own.
"""

# N samples, n samples at one exit, E exits, P knots of a table
import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.knobs import check_knob

RuleName = Literal["geometric", "gain"]

CLOSED = 1e8  # a threshold that no confidence reaches; published codes have this number
NUM_KNOTS = 65
MOST_ROWS = 10_000  # of calibration confidences kept with a network; thresholds vary by 1 % of a share at most


class ExitRule(Policy):
    """A decision made exit by exit: each depends on the confidence there, and on nothing of later exits.

    Attributes:
        rows: Calibration samples stored with the rule; None if the rule was not fitted.
    """

    rows: int | None = None

    @abstractmethod
    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Tells which samples of this confidence (n,) leave at exit ``index``, (n,) bool on CPU; at the last, all."""

    @abstractmethod
    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Tells for each exit whether any confidence lets a sample leave; the others need not be computed."""


class CommonThreshold(ExitRule):
    """Lets samples leave at the first exit with a confidence of at least 1 - knob; needs no fitting.

    Example:
        >>> confidence = torch.tensor([[0.95, 0.99], [0.60, 0.80]])  # of two samples at two exits
        >>> CommonThreshold(num_exits=2).decide(confidence, knob=0.1).tolist()  # leave from 0.9 on
        [0, 1]
    """

    def __init__(self, num_exits: int) -> None:
        self.num_exits = num_exits

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Exits (N,), on the CPU, for confidences (N, E)."""
        return first_exit(self, scores, knob)

    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Returns whether the confidence reaches the threshold; at the last exit, all samples leave."""
        if index == self.num_exits - 1:
            return torch.ones(len(confidence), dtype=torch.bool)
        return confidence.cpu().double() >= 1 - knob

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for every exit, or only for the last if the threshold is above 1."""
        return (*[knob >= 0] * (self.num_exits - 1), True)

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the knobs of a threshold above 1 and of a threshold of 0."""
        return -0.5, 1.0


class FrozenTable(nn.Module):
    """Keeps float32 numbers exact when the network is cast to half precision, and stores them with it.

    Args:
        values: Of any shape.
    """

    bits: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        # As integers: a cast of the network would round confidences near 1 until they tie.
        self.register_buffer("bits", values.detach().float().contiguous().view(torch.int32).clone())

    def values(self) -> Tensor:
        """Returns the numbers, float32, on the network's device."""
        return self.bits.view(torch.float32)


class GeometricRule(nn.Module, ExitRule):
    """Lets samples leave at the first exit whose threshold they reach; shares of calibration samples fall like p^k.

    The knob is -log p: the share that leaves at exit k is proportional to exp(-knob k), so a higher knob is cheaper.

    Args:
        confidence: Shape (N, E); of calibration samples, on which thresholds are solved.
    """

    def __init__(self, confidence: Tensor) -> None:
        super().__init__()
        self.calibration = FrozenTable(confidence)
        self.rows, self.num_exits = confidence.shape
        self._solved: tuple[float, Tensor] | None = None
        self.register_load_state_dict_post_hook(_forget_solution)  # type: ignore[no-untyped-call]  # of torch

    def thresholds(self, knob: float) -> Tensor:
        """Thresholds (E,), float32, on the CPU."""
        solved = self._solved  # read once: another thread may solve for another knob meanwhile
        if solved is None or solved[0] != knob:
            shares = geometric_shares(knob, self.num_exits)
            solved = self._solved = knob, solve_thresholds(self.calibration.values().cpu(), shares)
        return solved[1]

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Exits (N,), on the CPU, for confidences (N, E)."""
        return first_exit(self, scores, knob)

    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Returns whether the confidence reaches the threshold; at the last exit, all samples leave."""
        if index == self.num_exits - 1:  # a confidence that is not a number reaches no threshold
            return torch.ones(len(confidence), dtype=torch.bool)
        return confidence.cpu() >= self.thresholds(knob)[index]

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for each exit whose threshold a confidence can reach."""
        return tuple((self.thresholds(knob) < CLOSED).tolist())

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the knobs at which no sample leaves early and at which all leave at the first exit."""
        return -math.log(len(self.calibration.bits)) - 1, 40.0  # exp(-40) is below the last digit of 1


class GainRule(nn.Module, ExitRule):
    """Lets samples leave where no later exit promises enough: its gain in worth per share of the full cost.

    What the answer of exit j will be worth, given the confidence at exit k, is read from a monotone map fitted on
    calibration samples. Of all rules that see one confidence at a time, this is the Lagrangian one; see
    `fit_gain_rule`. The knob is the least gain for which a sample goes on.

    Args:
        knots: Shape (E, P), rising along P: confidences at each exit.
        worth: Shape (E, E, P), in [0, 1]: at [k, j, p], what to expect of exit j where exit k has the confidence
            ``knots[k, p]``; linear between knots, constant outside. Only j >= k counts.
        relative_costs: Shape (E,), rising: cost up to each exit as a share of the full cost.
    """

    rows = 0

    def __init__(self, knots: Tensor, worth: Tensor, relative_costs: Tensor) -> None:
        super().__init__()
        self.knots, self.correctness = FrozenTable(knots), FrozenTable(worth)  # "correctness" is its name in files
        self.relative_costs = relative_costs.double().cpu()

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Exits (N,), on the CPU, for confidences (N, E)."""
        return first_exit(self, scores, knob)

    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Returns whether every later exit gains less than the knob; at the last exit, all samples leave."""
        if index == len(self.relative_costs) - 1:
            return torch.ones(len(confidence), dtype=torch.bool)
        knots = self.knots.values()[index].cpu().double()
        gains = _interpolate(knots, self._gains(index), confidence.cpu().double())
        return gains.amax(dim=0) < knob

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns False for an exit if, between any two knots, some later exit gains too much at both."""
        open_exits = []
        for index in range(len(self.relative_costs) - 1):
            gains = self._gains(index)
            least = torch.minimum(gains[:, :-1], gains[:, 1:]).amax(dim=0).amin()
            open_exits.append(bool(least < knob))
        return (*open_exits, True)

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns bounds beyond any gain per cost, which is at most 1 over the smallest difference in cost."""
        bound = 1.001 / float(self.relative_costs.diff().min()) if len(self.relative_costs) > 1 else 1.0
        return -bound, bound

    def _gains(self, index: int) -> Tensor:
        """Returns the expected gain per cost of each later exit at the knots of exit ``index``: (later exits, P)."""
        worth = self.correctness.values()[index].cpu().double()
        costs = self.relative_costs[index + 1 :] - self.relative_costs[index]
        return (worth[index + 1 :] - worth[index]) / costs[:, None]


def fit_exit_rule(
    name: RuleName, confidence: Tensor, worth: Tensor, relative_costs: Tensor
) -> GeometricRule | GainRule:
    """Fits the rule of that name on calibration samples; the arguments are those of `fit_gain_rule`."""
    if name == "gain":
        return fit_gain_rule(confidence, worth, relative_costs)
    return GeometricRule(spread_rows(confidence))


def blank_exit_rule(name: RuleName, rows: int, relative_costs: Tensor) -> GeometricRule | GainRule:
    """Creates a rule of the right shape whose numbers are still to be loaded.

    Args:
        name: The rule.
        rows: Calibration samples stored with it, as `ExitRule.rows` told.
        relative_costs: Shape (E,), as of `fit_gain_rule`.

    Raises:
        ValueError: If no fitted rule stores so many.
    """
    num_exits = len(relative_costs)
    if name == "gain" and rows == GainRule.rows:
        tables = torch.zeros(num_exits, num_exits, NUM_KNOTS)
        return GainRule(tables[0], tables, relative_costs)
    if name == "geometric" and 1 <= rows <= MOST_ROWS:
        return GeometricRule(torch.zeros(rows, num_exits))
    raise ValueError(f"calibration_rows cannot be {rows} for the exit rule {name!r}")


def fit_gain_rule(confidence: Tensor, worth: Tensor, relative_costs: Tensor) -> GainRule:
    """Fits a gain rule: monotone maps from confidence to worth, isotonic regressions sampled at quantiles.

    Args:
        confidence: Shape (N, E), of calibration samples, N at least 1.
        worth: Shape (N, E), bool or in [0, 1]: what the answer of each exit is worth, such as whether it is right.
        relative_costs: Shape (E,), rising: cost up to each exit as a share of the full cost.
    """
    from sklearn.isotonic import IsotonicRegression  # takes half a second, which predictions need not wait for

    num_exits = confidence.shape[1]
    confidence, worth = confidence.cpu().double(), worth.cpu().double()
    knots = confidence.quantile(torch.linspace(0, 1, NUM_KNOTS, dtype=torch.float64), dim=0).T  # (E, P)
    tables = torch.zeros(num_exits, num_exits, NUM_KNOTS, dtype=torch.float64)
    for at in range(num_exits):
        for later in range(at, num_exits):
            curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            curve.fit(confidence[:, at].numpy(), worth[:, later].numpy())
            tables[at, later] = torch.from_numpy(curve.predict(knots[at].numpy()))
    return GainRule(knots, tables, relative_costs)


def geometric_shares(knob: float, num_exits: int) -> Tensor:
    """Returns shares (E,), float64, adding up to 1, proportional to p, p^2, ... p^E, where p = exp(-knob)."""
    return (-knob * torch.arange(1, num_exits + 1, dtype=torch.float64)).softmax(dim=0)


def solve_thresholds(confidence: Tensor, shares: Tensor) -> Tensor:
    """Solves for the thresholds at which given shares of the samples leave at each exit.

    Among the samples that have not left before exit k, the threshold is the floor(N shares[k])-th largest confidence;
    where fewer are left, or none should leave, nobody does. All samples that tie at the threshold leave, so fewer may
    be left for later exits. Equal to the published solver, with one selection per exit instead of loops.

    Args:
        confidence: Shape (N, E).
        shares: Shape (E,), in [0, 1].

    Returns:
        Shape (E,), of the type of ``confidence``. A sample leaves at the first exit where its confidence is at least
        the threshold: 1e8 where none leaves, -1e8 at the last exit.

    Example:
        >>> confidence = torch.tensor([[0.9, 0.9], [0.8, 0.9], [0.3, 0.9], [0.2, 0.9]])
        >>> solve_thresholds(confidence, torch.tensor([0.5, 0.5]))[0]  # half of them leave at the first exit
        tensor(0.8000)
    """
    num_samples, num_exits = confidence.shape
    thresholds = confidence.new_full((num_exits,), CLOSED)
    thresholds[-1] = -CLOSED
    for index, share in enumerate(shares[:-1].tolist()):
        count = math.floor(num_samples * share)
        if 0 < count <= len(confidence):
            at_exit = confidence[:, index]
            thresholds[index] = at_exit.kthvalue(len(at_exit) - count + 1).values
            confidence = confidence[at_exit < thresholds[index]]
    return thresholds


def spread_rows(table: Tensor, most: int = MOST_ROWS) -> Tensor:
    """Returns at most ``most`` rows of a table (N, ...), evenly spaced; all of them if there are no more."""
    if len(table) <= most:
        return table
    return table[torch.arange(most, device=table.device) * len(table) // most]


def _forget_solution(rule: nn.Module, _: object) -> None:
    """Drops thresholds that were solved on confidences that loading has replaced."""
    assert isinstance(rule, GeometricRule)
    rule._solved = None


def first_exit(rule: ExitRule, scores: Tensor, knob: float) -> Tensor:
    """Returns the first exit (N,), on the CPU, at which each sample with confidences (N, E) leaves."""
    scores, knob = scores.cpu(), check_knob(knob)
    leaves = [rule.leaves(index, scores[:, index], knob) for index in range(scores.shape[1])]
    return torch.stack(leaves, dim=1).int().argmax(dim=1)


def _interpolate(knots: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Reads piecewise-linear curves ``values`` (J, P) over ``knots`` (P,) at (n,): (J, n); constant outside."""
    right = torch.searchsorted(knots, at).clamp(1, len(knots) - 1)
    left = right - 1
    span = (knots[right] - knots[left]).clamp_min(1e-12)  # knots may coincide
    weight = ((at - knots[left]) / span).clamp(0, 1)
    return values[:, left] + weight * (values[:, right] - values[:, left])
