"""The accuracy-cost curve of an adaptive network, beside the baselines that keep it honest."""
# N samples, R routes

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import CostTable, Unit
from modicum.adaptive.evidence import Outcome, RouteTable, Scored

RESAMPLES = 1000  # enough for a 95 % interval whose ends vary by about a tenth of its width


@dataclass(frozen=True)
class Point:
    """One way to spend compute on a data set.

    Attributes:
        label: What a reader calls it.
        cost: Mean cost per sample, the decision included where one is made.
        accuracy: Share of samples classified right.
        low: Lower end of the bootstrap 95 % interval of the accuracy.
        high: Its upper end.
        knob: The knob that gives it, if one does.
        shares: Share of the samples on each route, by the route's name; they add up to 1.
        top5: Share of samples with the right class among the five most probable, where a table of all routes tells.
    """

    label: str
    cost: float
    accuracy: float
    low: float
    high: float
    knob: float | None = None
    shares: dict[str, float] | None = None
    top5: float | None = None


@dataclass(frozen=True)
class Curve:
    """What a network's knob can do on a data set, and what doing without it can.

    Attributes:
        unit: What costs count.
        num_samples: Size of the data set.
        routed: The knob swept from the dearest to the cheapest routes; costs fall.
        random: For each routed point, the same routes dealt to the samples at random.
        static: One route for all samples, without the decision's cost; one point per route of the menu.
        oracle: Each sample on the cheapest route that classifies it right, without the decision's cost; needs a menu.
        plain: Networks without any decision, e.g. trained the usual way.
    """

    unit: Unit
    num_samples: int
    routed: tuple[Point, ...]
    random: tuple[Point, ...]
    static: tuple[Point, ...]
    oracle: Point | None
    plain: tuple[Point, ...]


def trace_curve(
    scored: Scored,
    outcome: Outcome,
    policy: Policy,
    costs: CostTable,
    *,
    table: RouteTable | None = None,
    plain: tuple[Point, ...] = (),
    knobs: Sequence[float] | None = None,
    num_points: int = 13,
    num_shuffles: int = 20,
) -> Curve:
    """Sweeps the knob in even steps of mean cost and puts the baselines beside it.

    Args:
        scored: The samples.
        outcome: Whether routes of the same samples give the right class.
        policy: The decision.
        costs: Its price.
        table: What every route gives, for the static routes and the oracle, where the routes can be listed.
        plain: Points of networks without a decision, as they are.
        knobs: The sweep, instead of even steps: for prices that need not fall as the knob rises, such as measured ones.
        num_points: Points of the sweep; points that coincide are given once.
        num_shuffles: Random deals per point; each runs the outcome once.

    Raises:
        ValueError: If there are no samples.
    """
    if not len(scored.labels):
        raise ValueError("a curve needs at least one sample")
    if knobs is None:
        knobs = sweep_knobs(scored, policy, costs, num_points)
    routed, random = [], []
    for knob in knobs:
        routes = policy.decide(scored.scores, knob)
        top5 = table.top5_accuracy(routes) if table is not None else None
        routed.append(point_of(f"knob {knob:.4g}", outcome(routes), routes, costs, knob=knob, top5=top5))
        random.append(deal_at_random(routes, outcome, costs, num_shuffles))
    return Curve(
        unit=costs.unit,
        num_samples=len(scored.labels),
        routed=tuple(routed),
        random=tuple(random),
        static=static_points(table, costs) if table is not None else (),
        oracle=oracle_point(table, costs) if table is not None else None,
        plain=plain,
    )


def sweep_knobs(scored: Scored, policy: Policy, costs: CostTable, num_points: int) -> list[float]:
    """Knobs, rising, whose mean costs on these samples are spread evenly between the dearest and the cheapest."""

    def mean_cost(knob: float) -> float:
        return float(costs.of(policy.decide(scored.scores, knob)).mean())

    ends = policy.knob_range(scored.scores)
    targets = np.linspace(mean_cost(ends[0]), mean_cost(ends[1]), num_points)
    knobs = {bisect_knob(mean_cost, target * (1 + 1e-12), ends, costs.unit) for target in targets}
    return sorted(knobs)


def point_of(
    label: str,
    hits: Tensor,
    routes: Tensor,
    costs: CostTable,
    *,
    knob: float | None = None,
    top5: float | None = None,
) -> Point:
    """The point of samples that took ``routes`` (N, ...) with the outcome ``hits`` (N,)."""
    low, high = bootstrap_interval(hits)
    counts = Counter(costs.names(routes))
    shares = {name: count / len(hits) for name, count in sorted(counts.items())}
    return Point(label, float(costs.of(routes).mean()), float(hits.double().mean()), low, high, knob, shares, top5)


def bootstrap_interval(hits: Tensor, seed: int = 0) -> tuple[float, float]:
    """The bootstrap 95 % interval of the mean of ``hits`` (N,), bool.

    The mean of a resample of zeros and ones is a binomial draw, so no resample is ever built.
    """
    if not len(hits):
        return float("nan"), float("nan")
    mean = float(hits.double().mean())
    draws = np.random.default_rng(seed).binomial(len(hits), mean, size=RESAMPLES) / len(hits)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def deal_at_random(routes: Tensor, outcome: Outcome, costs: CostTable, num_shuffles: int, seed: int = 0) -> Point:
    """The same routes dealt to the samples at random: what the shares alone are worth, without the decision's eye.

    The interval covers the deals, not the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    deals = [outcome(routes[torch.randperm(len(routes), generator=generator)]) for _ in range(num_shuffles)]
    accuracies = torch.stack([hits.double().mean() for hits in deals])
    low, high = accuracies.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Point("random, same shares", float(costs.of(routes).mean()), float(accuracies.mean()), low, high)


def static_points(table: RouteTable, costs: CostTable) -> tuple[Point, ...]:
    """Every sample on the same route, for each route of the menu, dearest first; no decision is made or paid."""
    menu = costs.menu()
    assert menu is not None  # a table exists only for a menu
    points = []
    for route in menu:
        hits = table.top1[:, route]
        low, high = bootstrap_interval(hits)
        name, cost = costs.names(route[None])[0], float(costs.of(route[None])) - costs.decision
        points.append(Point(f"always {name}", cost, float(hits.double().mean()), low, high))
    return tuple(points)


def oracle_point(table: RouteTable, costs: CostTable) -> Point:
    """Each sample on the cheapest route that classifies it right, or on the cheapest where none does."""
    menu = costs.menu()
    assert menu is not None  # a table exists only for a menu
    by_price = menu.flip(0)
    routes = by_price[table.top1[:, by_price].int().argmax(dim=1)]  # argmax: the first that is right, else the first
    point = point_of("oracle", table.outcome(routes), routes, costs)
    return Point(point.label, point.cost - costs.decision, point.accuracy, point.low, point.high, None, point.shares)


def accuracy_at(curve: tuple[Point, ...], cost: float) -> float | None:
    """Accuracy at a mean cost, read off ``curve`` by linear interpolation; None outside its range of costs."""
    points = sorted(curve, key=lambda point: point.cost)
    costs = [point.cost for point in points]
    if not points or not costs[0] <= cost <= costs[-1]:
        return None
    return float(np.interp(cost, costs, [point.accuracy for point in points]))


def cost_at(curve: tuple[Point, ...], accuracy: float) -> float | None:
    """The least mean cost of a point of ``curve`` with at least this accuracy; None where none has."""
    return min((point.cost for point in curve if point.accuracy >= accuracy), default=None)
