"""What chooses windows: the policy of a run, and the baselines that keep it honest; each as routes of pictures."""
# N pictures, S scores of a picture, W windows of one picture

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import CostTable
from modicum.detect.overlaps import Numbers
from modicum.detect.zoom.gains import BoxGains, untrained_gains
from modicum.detect.zoom.inference import Look
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.planners import DensityPlanner, ValuePlanner
from modicum.detect.zoom.planning import Plan
from modicum.detect.zoom.policies import PrefixPolicy, RungPolicy, fit_route, plan_scores, rung_scores, to_route
from modicum.detect.zoom.viewing import SeenPictures
from modicum.detect.zoom.windows import slice_windows

_SLICE_PX = 512  # SAHI's usual side
_OVERLAP = 0.2


class Contender(NamedTuple):
    """A way to choose windows, and the scores of N pictures that it decides on."""

    name: str
    policy: Policy[list[Tensor]]
    scores: Tensor  # (N, S)

    def at(self, knob: float) -> list[Tensor]:
        """Returns the routes at a knob."""
        return self.policy.decide(self.scores, knob)

    def at_cost(self, costs: CostTable[list[Tensor]], target: float) -> list[Tensor]:
        """Returns the routes that cost at most ``target`` on average, as near to it as the policy comes."""
        ends = self.policy.knob_range(self.scores)
        cheapest = self.at(ends[1])
        if float(costs.of(cheapest).mean()) > target:
            return cheapest
        return self.at(bisect_knob(lambda knob: float(costs.of(self.at(knob)).mean()), target, ends, costs.unit))


def policy_of(network: ZoomNetwork) -> Policy[list[Tensor]]:
    """Returns the policy of a network, whose knob is the price."""
    return PrefixPolicy() if network.qnet is None else RungPolicy(network.prices, network.used)


def contender_of(network: ZoomNetwork, seen: SeenPictures) -> Contender:
    """Returns the policy of a run with its scores of pictures."""
    planner, policy = seen.zoom.planner, policy_of(network)
    if isinstance(planner, DensityPlanner):
        plans = [planner.plan(look.gains) for look in seen.looks]
        return Contender("R-net", policy, plan_scores(plans))
    assert isinstance(planner, ValuePlanner)
    windows = [
        [planner.windows(look.gains, ZoomLimit(price=price), look.pixels) for price in network.prices]
        for look in seen.looks
    ]
    return Contender("Q-net", policy, rung_scores(windows, [look.gains.grid.whole for look in seen.looks]))


def baselines_of(seen: SeenPictures, fixed: Plan | None) -> list[Contender]:
    """Returns what windows are also chosen by: entropy, a fixed plan, and true gains, the bound.

    Args:
        seen: The pictures; the fine detector reads each of them whole for the bound.
        fixed: The constant plan that earned most where R-net learned; None where it earned nothing.
    """
    found = [
        _greedy("entropy", seen, lambda look, _: _entropy_gains(look)),
        _greedy("true gain", seen, lambda _, place: seen.true_gains(place)),
    ]
    if fixed is not None:
        plans = [_moved(fixed, *look.size) for look in seen.looks]
        found.append(Contender("fixed windows", PrefixPolicy(), plan_scores(plans)))
    return found


def scattered(routes: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Returns routes of the same numbers and sizes of windows, each at a random place; a whole picture stays.

    Equal windows of a picture go to equal places, so that a cheaper route reads some of what a more expensive one does.
    """
    moved = []
    for number, route in enumerate(routes):
        width, height = route[0, 2:].tolist()
        rows = [route[0].tolist()]
        for left, top, right, bottom in route[1:].tolist():
            draw = np.random.default_rng((seed, number, left, top, right - left))
            x, y = (int(draw.integers(room + 1)) for room in (width - right + left, height - bottom + top))
            rows.append([x, y, x + right - left, y + bottom - top])
        moved.append(torch.tensor(rows))
    return moved


def slice_routes(seen: SeenPictures) -> list[Tensor]:
    """Returns routes of slices of 512 px, or half a smaller picture, that overlap by a fifth and cover each picture."""
    routes = []
    for (width, height), look in zip(seen.sizes, seen.looks, strict=True):
        side = min(_SLICE_PX, max(32, min(width, height) // 64 * 32))
        routes.append(to_route(look.gains.grid.whole, slice_windows(width, height, (side, side), _OVERLAP)))
    return routes


def _greedy(name: str, seen: SeenPictures, gains: Callable[[Look, int], BoxGains]) -> Contender:
    planner = seen.zoom.planner
    density = planner if isinstance(planner, DensityPlanner) else DensityPlanner(planner.layout)
    plans = [density.plan(gains(look, place)) for place, look in enumerate(seen.looks)]
    return Contender(name, PrefixPolicy(), plan_scores(plans))


def _entropy_gains(look: Look) -> BoxGains:
    gains = untrained_gains(look.coarse.scores.double().numpy(), "entropy")
    return BoxGains.of(look.coarse.arrays().boxes, gains, look.gains.grid)


def _moved(plan: Plan, width: int, height: int) -> Plan:
    """Returns a plan for a picture of another size."""
    route = fit_route(to_route(plan.whole, plan.windows), width, height).double().numpy()
    windows: Numbers = route[1:]
    return Plan(route[0], windows, plan.prices)
