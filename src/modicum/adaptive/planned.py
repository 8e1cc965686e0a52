"""Lets samples leave at exits that were planned, after paying for the decision: for benchmarks with a fixed mix."""

# N samples, n samples at one exit, E exits
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modicum.adaptive.exits import ExitRule


class PlannedExits(nn.Module, ExitRule):
    """Makes the decisions of another rule, so that their cost counts, and does what was planned instead.

    Args:
        paid: The rule whose decisions are made.
        num_exits: Exits E.
    """

    def __init__(self, paid: ExitRule, num_exits: int) -> None:
        super().__init__()
        self._paid, self._num_exits = paid, num_exits
        self._planned = torch.empty(0, dtype=torch.int64)  # exits of the samples still running

    def plan(self, routes: Tensor) -> None:
        """Sets the exits (N,) for the next run."""
        self._planned = routes

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Returns the decisions of the other rule."""
        return self._paid.decide(scores, knob)

    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Returns whether the exit is the planned one; the samples that have not left come in their order."""
        assert len(confidence) == len(self._planned)
        self._paid.leaves(index, confidence, knob)
        mask = self._planned == index
        self._planned = self._planned[~mask]
        return mask

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for every exit."""
        return (True,) * self._num_exits

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the range of the other rule."""
        return self._paid.knob_range(scores)


class PlannedNumpyExits:
    """Lets samples leave where it was planned, in the runner of an exported network.

    Args:
        routes: Exits (N,) of the samples of the next run.
    """

    def __init__(self, routes: NDArray[np.int64], num_exits: int) -> None:
        self._planned, self._num_exits = routes, num_exits

    def leaves(self, index: int, confidence: NDArray[np.float32], knob: float) -> NDArray[np.bool_]:
        """Returns whether the exit is the planned one."""
        assert len(confidence) == len(self._planned)
        mask: NDArray[np.bool_] = self._planned == index
        self._planned = self._planned[~mask]
        return mask

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for every exit."""
        return (True,) * self._num_exits


def shuffled_routes(shares: Tensor, count: int) -> Tensor:
    """Returns shuffled routes (count,) with these shares (E,), to the nearest sample."""
    ends = (shares.cumsum(0) * count).round().long()
    ends[-1] = count
    routes = torch.repeat_interleave(torch.arange(len(shares)), ends.diff(prepend=ends.new_zeros(1)))
    return routes[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
