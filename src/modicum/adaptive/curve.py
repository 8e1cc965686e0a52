"""The curve of worth against cost of an adaptive network, beside the baselines that keep it honest."""
# N samples, R routes

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import CostTable, Unit
from modicum.adaptive.evidence import Outcome, RouteTable, Scored
from modicum.adaptive.samples import Routes, take
from modicum.adaptive.worth import Worth, bootstrap_interval

NUM_KNOBS = 51  # of either kind in a sequence: a step in cost is then about 2 % of the range


@dataclass(frozen=True)
class Point:
    """One way to spend compute on a data set.

    Attributes:
        name: What a reader calls it.
        cost: Mean cost per sample, the decision included where one is made.
        worth: Of all samples, e.g. their share of hits, mean decibels or average precision.
        low: Lower end of the bootstrap 95 % interval of the worth.
        high: Its upper end.
        knob: The knob that gives it, if one does.
        shares: Share of the samples on each route, by the route's name; they add up to 1.
        also: Further worths of the same answers, by name.
    """

    name: str
    cost: float
    worth: float
    low: float
    high: float
    knob: float | None = None
    shares: dict[str, float] | None = None
    also: dict[str, float] | None = None


@dataclass(frozen=True)
class Curve:
    """What a network's knob can do on a data set, and what doing without it can.

    Attributes:
        unit: What costs count.
        num_samples: Size of the data set.
        routed: The knob swept from the most expensive to the cheapest routes; costs fall.
        random: For each routed point, the same routes dealt to the samples at random.
        static: One route for all samples, without the decision's cost; one point per route of the menu.
        oracle: Each sample on the cheapest route that serves it best, without the decision's cost; needs a menu.
        plain: Networks without any decision, e.g. trained the usual way.
        cascade: Points of a confidence cascade of static members, priced without the decision; costs fall.
    """

    unit: Unit
    num_samples: int
    routed: tuple[Point, ...]
    random: tuple[Point, ...]
    static: tuple[Point, ...]
    oracle: Point | None
    plain: tuple[Point, ...]
    cascade: tuple[Point, ...] = ()


def trace_curve(
    scored: Scored,
    outcome: Outcome[Routes],
    policy: Policy[Routes],
    costs: CostTable[Routes],
    *,
    table: RouteTable | None = None,
    also: Mapping[str, Outcome[Routes]] | None = None,
    plain: tuple[Point, ...] = (),
    knobs: Sequence[float] | None = None,
    num_points: int = 13,
    num_shuffles: int = 20,
) -> Curve:
    """Sweeps the knob in even steps of mean cost and puts the baselines beside it.

    Args:
        scored: The samples.
        outcome: What routes of the same samples are worth.
        policy: The decision.
        costs: Its price.
        table: What every route is worth, for the static routes and the oracle, where the routes can be listed.
        also: Further outcomes to be noted at each point of the sweep, by name.
        plain: Points of networks without a decision, as they are.
        knobs: The sweep, instead of even steps: for prices that need not fall as the knob rises, such as measured ones.
        num_points: Points of the sweep; points that coincide are given once.
        num_shuffles: Random deals per point; each runs the outcome once.

    Raises:
        ValueError: If there are no samples.
    """
    if not len(scored.ids):
        raise ValueError("a curve needs at least one sample")
    if knobs is None:
        knobs = sweep_knobs(scored, policy, costs, num_points)
    routed, random = [], []
    for knob in knobs:
        routes = policy.decide(scored.scores, knob)
        point = routed_point(f"knob {knob:.4g}", outcome(routes), routes, costs, knob=knob)
        routed.append(replace(point, also=worths_of(also, routes)))
        random.append(deal_at_random(routes, outcome, costs, num_shuffles))
    return Curve(
        unit=costs.unit,
        num_samples=len(scored.ids),
        routed=tuple(routed),
        random=tuple(random),
        static=static_points(table, costs) if table is not None else (),
        oracle=oracle_point(table, costs) if table is not None else None,
        plain=plain,
    )


def worths_of(outcomes: Mapping[str, Outcome[Routes]] | None, routes: Routes) -> dict[str, float] | None:
    """Returns what ``routes`` are worth by several outcomes; None without any."""
    return {name: outcome(routes).total() for name, outcome in outcomes.items()} if outcomes else None


def sweep_knobs(scored: Scored, policy: Policy[Routes], costs: CostTable[Routes], num_points: int) -> list[float]:
    """Returns knobs, rising, whose mean costs on these samples are spread evenly from the highest to the lowest."""

    def mean_cost(knob: float) -> float:
        return float(costs.of(policy.decide(scored.scores, knob)).mean())

    ends = policy.knob_range(scored.scores)
    targets = np.linspace(mean_cost(ends[0]), mean_cost(ends[1]), num_points)
    knobs = {bisect_knob(mean_cost, target * (1 + 1e-12), ends, costs.unit) for target in targets}
    return sorted(knobs)


def knob_sequence(scores: Tensor, policy: Policy[Any], costs: CostTable[Any]) -> tuple[float, ...]:
    """Fixes a sequence of knobs from the most expensive routes to the cheapest.

    Knobs in even steps of mean cost on the given samples, as many in even steps of the knob between, and as many from
    there to the end of the policy's range: confidences on samples that a network was trained on crowd near 1, so these
    take their cheapest routes at knobs at which others are far from theirs.

    Args:
        scores: Shape (N, S), N at least 1: of samples on which nothing is going to be tested.
        policy: The decision.
        costs: Its price.
    """
    names = tuple(str(row) for row in range(len(scores)))
    by_cost = sweep_knobs(Scored(names, scores), policy, costs, NUM_KNOBS)
    between = np.linspace(by_cost[0], by_cost[-1], NUM_KNOBS).tolist()
    beyond = np.linspace(by_cost[-1], policy.knob_range(scores)[1], NUM_KNOBS).tolist()
    return tuple(sorted({*by_cost, *between, *beyond}))


def fixed_point(name: str, worth: Worth, cost: float) -> Point:
    """Returns the point of samples that all cost the same, with the interval of their worth."""
    return Point(name, cost, worth.total(), *bootstrap_interval(worth))


def routed_point(
    name: str, worth: Worth, routes: Routes, costs: CostTable[Routes], *, knob: float | None = None
) -> Point:
    """Returns the point of samples that took ``routes``, with the share of each route."""
    counts = Counter(costs.names(routes))
    shares = {route: count / len(worth) for route, count in sorted(counts.items())}
    return replace(fixed_point(name, worth, float(costs.of(routes).mean())), knob=knob, shares=shares)


def deal_at_random(
    routes: Routes, outcome: Outcome[Routes], costs: CostTable[Routes], num_shuffles: int, seed: int = 0
) -> Point:
    """Deals the same routes to the samples at random: what the shares alone are worth, without the decision's eye.

    The interval covers the deals, not the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    deals = (take(routes, torch.randperm(len(routes), generator=generator)) for _ in range(num_shuffles))
    worths = torch.tensor([outcome(deal).total() for deal in deals], dtype=torch.float64)
    low, high = worths.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Point("random, same shares", float(costs.of(routes).mean()), float(worths.mean()), low, high)


def static_points(table: RouteTable, costs: CostTable[Any]) -> tuple[Point, ...]:
    """Puts every sample on the same route, for each of the menu, most expensive first; no decision is made or paid."""
    menu = costs.menu()
    assert menu is not None  # a table exists only for a menu
    prices = (costs.of(menu) - costs.decision).tolist()
    names = (f"always {name}" for name in costs.names(menu))
    rows = zip(names, menu.tolist(), prices, strict=True)
    return tuple(fixed_point(name, table.per_route[route], cost) for name, route, cost in rows)


def oracle_point(table: RouteTable, costs: CostTable[Any]) -> Point:
    """Puts each sample on the cheapest of the routes that serve it best, judged by its worth alone."""
    menu = costs.menu()
    assert menu is not None  # a table exists only for a menu
    by_price = menu.flip(0)
    routes = by_price[table.each()[:, by_price].argmax(dim=1)]  # of equals, the first, so the cheapest
    point = routed_point("oracle", table.outcome(routes), routes, costs)
    return replace(point, cost=point.cost - costs.decision)


def worth_at(curve: tuple[Point, ...], cost: float) -> float | None:
    """Reads the worth at a mean cost off ``curve`` by linear interpolation; None outside its range of costs."""
    points = sorted(curve, key=lambda point: point.cost)
    costs = [point.cost for point in points]
    if not points or not costs[0] <= cost <= costs[-1]:
        return None
    return float(np.interp(cost, costs, [point.worth for point in points]))


def cost_at(curve: tuple[Point, ...], worth: float) -> float | None:
    """Returns the least mean cost of a point of ``curve`` with at least this worth; None where none has."""
    return min((point.cost for point in curve if point.worth >= worth), default=None)
