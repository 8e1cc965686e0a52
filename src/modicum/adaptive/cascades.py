"""Chooses the thresholds of a cascade from its members' confidences: one nested sequence, cheaper row by row.

A sample leaves at the first member whose confidence reaches the member's threshold. No threshold rises from row to row,
so no sample ever costs more in a later one. The sequence is a knob, and fixes the order in which risks are tested
before the test data are seen (see `modicum.adaptive.guarantee`).
"""

# N samples, M members of a cascade, L levels of confidence at a member, P rows of a sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from modicum.adaptive.exits import CLOSED, ExitRule, FrozenTable, first_exit
from modicum.adaptive.knobs import check_knob

NUM_LEVELS = 33  # thresholds tried per member: the shares 0, 1/32, ... of samples that reach them
FINER = 8  # times as many levels for `refine` as are tried
NUM_PRICES = 200  # of a unit of cost in worth, for each of which the best thresholds are sought
PRICES_AT_ONCE = 20
MOST_MEMBERS = 4  # of a cascade: the table of worths grows as NUM_LEVELS ** (members - 1)


class NestedThresholds(nn.Module, ExitRule):
    """Lets samples leave at the first member whose threshold they reach; the knob picks a row of thresholds.

    Knob 0 is the first row, knob 1 the last; between, it is the last row that the knob has reached.

    Args:
        thresholds: Shape (P, M - 1), falling along P; at the last member, all samples leave.
    """

    rows: int

    def __init__(self, thresholds: Tensor) -> None:
        super().__init__()
        self.rows, self.num_exits = len(thresholds), thresholds.shape[1] + 1
        self.table = FrozenTable(thresholds)

    def thresholds(self, knob: float) -> Tensor:
        """Returns the thresholds (M - 1,), float32, on the CPU."""
        share = min(max(check_knob(knob), 0.0), 1.0)
        # A knob that was computed as row / (rows - 1) means that row, whatever the last digit.
        return self.table.values().cpu()[int(share * (self.rows - 1) + 1e-9)]

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Returns members (N,), on the CPU, for confidences (N, M)."""
        return first_exit(self, scores, knob)

    def leaves(self, index: int, confidence: Tensor, knob: float) -> Tensor:
        """Returns whether the confidence reaches the threshold; at the last member, all samples leave."""
        if index == self.num_exits - 1:  # a confidence that is not a number reaches no threshold
            return torch.ones(len(confidence), dtype=torch.bool)
        return confidence.cpu().float() >= self.thresholds(knob)[index]

    def open_exits(self, knob: float) -> tuple[bool, ...]:
        """Returns True for each member whose threshold a confidence can reach."""
        return (*(self.thresholds(knob) < CLOSED).tolist(), True)

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the knobs of the first and of the last row."""
        return 0.0, 1.0


def blank_thresholds(rows: int, num_exits: int) -> NestedThresholds:
    """Builds a sequence without content, to be loaded."""
    return NestedThresholds(torch.full((rows, num_exits - 1), CLOSED))


class Tradeoff(NamedTuple):
    """Holds a nested sequence of thresholds, with its costs and worths on the samples that it was fitted on."""

    thresholds: Tensor  # (P, M - 1), float32, falling along P
    costs: Tensor  # (P,), float64: mean cost, falling
    worths: Tensor  # (P,), float64: mean worth


def fit_thresholds(confidence: Tensor, worth: Tensor, costs: Tensor) -> Tradeoff:
    """Fits the sequence of highest worth at every price of a unit of cost, from no sample leaving early to all of them.

    Args:
        confidence: Shape (N, M), N at least 1: at each member, of samples that the members were not fitted on.
        worth: Shape (N, M): of each member's answer, such as a hit.
        costs: Shape (M,), rising: up to and with each member.

    Returns:
        The sequence, without repetitions.

    Raises:
        ValueError: If there are more members than `MOST_MEMBERS`, or shapes do not match.
    """
    if confidence.shape != worth.shape or confidence.shape[1:] != costs.shape or not len(confidence):
        raise ValueError(
            f"confidence, worth and costs must be (N, M), (N, M) and (M,), N at least 1, "
            f"got {tuple(confidence.shape)}, {tuple(worth.shape)}, {tuple(costs.shape)}"
        )
    if len(costs) > MOST_MEMBERS:
        raise ValueError(f"a cascade has at most {MOST_MEMBERS} members, got {len(costs)}")
    if len(costs) == 1:
        return Tradeoff(torch.empty(1, 0), costs.double(), worth.double().mean(dim=0))
    levels = _levels(confidence[:, :-1], NUM_LEVELS)
    mean_cost, mean_worth = _tabulate(confidence, worth.double(), costs.double(), levels)
    places = _descend(mean_cost, mean_worth)  # (P, M - 1)
    at = tuple(places.T)
    return Tradeoff(_at_levels(levels, places), mean_cost[at], mean_worth[at])


def refine(tradeoff: Tradeoff, confidence: Tensor, worth: Tensor, costs: Tensor) -> Tradeoff:
    """Divides the way from each row of a sequence to the next, so that a knob meets a mean cost more closely.

    Args:
        tradeoff: Result of `fit_thresholds` for the other arguments.
        confidence: As of `fit_thresholds`.
        worth: As of `fit_thresholds`.
        costs: As of `fit_thresholds`.

    Returns:
        The longer sequence, as nested as the first: between two rows, the shares of samples that reach a threshold
        change in equal parts.
    """
    if len(tradeoff.thresholds) < 2:
        return tradeoff
    coarse = _levels(confidence[:, :-1], NUM_LEVELS)
    # Levels fall: as many as are no lower than a threshold stand up to it, the last of equal ones included.
    columns = zip(tradeoff.thresholds.T, coarse, strict=True)
    places = torch.stack([(levels >= column[:, None]).sum(dim=1) - 1 for column, levels in columns], dim=1)
    ways = [_way(FINER * a, FINER * b) for a, b in pairwise(places)]
    fine = _levels(confidence[:, :-1], (NUM_LEVELS - 1) * FINER + 1)
    thresholds = _at_levels(fine, torch.cat([*ways, FINER * places[-1:]]))
    changed = (thresholds[1:] != thresholds[:-1]).any(dim=1)
    thresholds = thresholds[torch.cat([torch.ones(1, dtype=torch.bool), changed])]
    mean_costs, mean_worths = [], []
    for row in thresholds:  # a few hundred; a table (P, N) of all of them would take gigabytes of many samples
        leavers = _first_reached(confidence, row)
        mean_costs.append(costs.double()[leavers].mean())
        mean_worths.append(worth.gather(1, leavers[:, None]).double().mean())
    return Tradeoff(thresholds, torch.stack(mean_costs), torch.stack(mean_worths))


def _way(start: Tensor, end: Tensor) -> Tensor:
    """Returns levels (n, M - 1) from ``start`` up to ``end`` (M - 1,), which is left out, in steps of at most one."""
    count = max(1, int((end - start).max()))
    shares = torch.arange(count, dtype=torch.float64)[:, None] / count
    return (start + shares * (end - start)).round().long()


def _first_reached(confidence: Tensor, thresholds: Tensor) -> Tensor:
    """Returns the first member (N,) whose threshold (M - 1,) the confidence (N, M) reaches, else the last."""
    reached = torch.cat([confidence[:, :-1] >= thresholds, torch.ones(len(confidence), 1, dtype=torch.bool)], dim=1)
    return reached.int().argmax(dim=1)


def _at_levels(levels: Tensor, places: Tensor) -> Tensor:
    """Looks up the thresholds (P, M - 1) at places (P, M - 1) among levels (M - 1, L)."""
    return torch.stack([levels[member, column] for member, column in enumerate(places.T)], dim=1)


def _levels(confidence: Tensor, num_levels: int) -> Tensor:
    """Returns the thresholds tried at each member (M - 1, L), falling, from one that no sample reaches to 0."""
    shares = torch.linspace(1, 0, num_levels, dtype=torch.float64)[1:]
    quantiles = confidence.double().quantile(shares, dim=0, interpolation="lower").T.float()
    closed = torch.full((len(quantiles), 1), CLOSED)
    quantiles[:, -1] = 0.0  # not the least seen: at the last level, all leave, those to come included
    return torch.cat([closed, quantiles], dim=1)


def _tabulate(confidence: Tensor, worth: Tensor, costs: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean cost and mean worth (L, ..., L) for every combination of levels, without a loop over samples."""
    num_samples, num_members = confidence.shape
    num_levels = levels.shape[1]
    shape = (num_levels,) * (num_members - 1)
    # reached[n, m] is the first level, so the highest threshold, that sample n reaches at member m.
    reached = torch.stack(
        [(confidence[:, m : m + 1] < levels[m]).sum(dim=1) for m in range(num_members - 1)], dim=1
    ).clamp(max=num_levels - 1)
    mean_cost, mean_worth = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    for member in range(num_members):
        seen = reached[:, : min(member + 1, num_members - 1)]
        leaving = _leaving(seen, torch.stack([torch.ones(num_samples), worth[:, member]]).double(), num_levels, member)
        leaving = leaving.reshape(2, *leaving.shape[1:], *(1,) * (num_members - 1 - seen.shape[1]))
        mean_cost, mean_worth = mean_cost + leaving[0] * costs[member], mean_worth + leaving[1]
    return mean_cost / num_samples, mean_worth / num_samples


def _leaving(reached: Tensor, weights: Tensor, num_levels: int, member: int) -> Tensor:
    """Sums ``weights`` (2, N) of the samples that leave at ``member``, for every combination of levels up to there.

    They stay at each member before, so the level there is below the one that they reach, and leave at this one, so the
    level is at least that; at the last member, which has no level, there is no such condition.
    """
    dims = reached.shape[1]
    places = torch.zeros(len(reached), dtype=torch.int64)
    for column in reached.T:
        places = places * num_levels + column
    sums = torch.zeros(2, num_levels**dims, dtype=torch.float64).index_add_(1, places, weights)
    table = sums.reshape(2, *(num_levels,) * dims)
    for axis in range(dims):
        cumulative = table.cumsum(dim=axis + 1)
        # Of those that reach level r, r <= level leave; the others, r > level, stay.
        table = cumulative if axis == member else cumulative.narrow(axis + 1, num_levels - 1, 1) - cumulative
    return table


def _descend(mean_cost: Tensor, mean_worth: Tensor) -> Tensor:
    """Returns the levels (P, M - 1) of the best thresholds for rising prices, none ever falling.

    What may follow a row is the rest of the tables from it on, on which many prices are tried at once until one asks
    for other thresholds; in NumPy, whose calls on tables of this size take less time than torch's.
    """
    costs, worths = mean_cost.numpy(), mean_worth.numpy()
    prices = np.logspace(-4, 2, NUM_PRICES) / (float(costs.max() - costs.min()) or 1.0)
    rows = [np.zeros(costs.ndim, dtype=np.int64)]  # no sample leaves early
    done = 0
    while done < NUM_PRICES:
        rest = tuple(slice(level, None) for level in rows[-1])
        tried = prices[done : done + PRICES_AT_ONCE]
        net = worths[rest].reshape(1, -1) - tried[:, None] * costs[rest].reshape(1, -1)
        best = net.argmax(axis=1)
        moved = best.nonzero()[0]
        done += int(moved[0]) + 1 if len(moved) else len(tried)
        if len(moved):
            rows.append(rows[-1] + np.array(np.unravel_index(best[moved[0]], costs[rest].shape)))
    return torch.from_numpy(np.stack(rows))
