"""Decisions of zooming as policies of the adaptive core: from plans to the windows that pay at a price.

The scores of an image are its plans: the windows in order and the highest price at which each pays. The knob is the
price lambda, in gained objects per image of pixels. A route is a list of windows, int64 (1 + W, 4): first the image
itself, which the coarse pass reads, then where the fine detector looks.
"""
# N images, T steps of a plan, L rungs (prices at which plans were made), W windows of one image

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import CostTable
from modicum.adaptive.knobs import check_knob
from modicum.detect.overlaps import Boxes
from modicum.detect.zoom.planning import MAX_WINDOWS, Plan
from modicum.detect.zoom.rungs import price_of_rung

STEPS = MAX_WINDOWS + 1  # of a plan: windows, and the whole image
_NEVER = float("-inf")  # the price of a step that a plan does not have


def plan_scores(plans: Sequence[Plan], steps: int = STEPS) -> Tensor:
    """Returns plans as scores (N, (1 + T) * 5): the image and then each step, as left, top, right, bottom and price.

    Raises:
        ValueError: If a plan has more steps than ``steps``.
    """
    rows = np.zeros((len(plans), 1 + steps, 5))
    rows[:, 1:, 4] = _NEVER
    for row, plan in zip(rows, plans, strict=True):
        if len(plan.windows) > steps:
            raise ValueError(f"scores hold plans of {steps} steps, got one of {len(plan.windows)}")
        row[0, :4] = plan.whole
        row[1 : 1 + len(plan.windows), :4] = plan.windows
        row[1 : 1 + len(plan.windows), 4] = plan.prices
    return torch.from_numpy(rows.reshape(len(plans), -1)).float()


def to_route(whole: Boxes, windows: Boxes) -> Tensor:
    """Returns the route (1 + W, 4) that reads ``windows`` (W, 4) of the image ``whole`` (4,)."""
    return torch.from_numpy(np.concatenate([whole[None], windows])).long()


def fit_route(route: Tensor, width: int, height: int) -> Tensor:
    """Returns the route for an image of another size: windows keep their size and their relative place.

    A window that is larger than the image becomes as large as the image. Routes of other images serve as a baseline:
    the same windows, dealt at random.
    """
    image = torch.tensor([0, 0, width, height])
    if route[0].equal(image):
        return route
    sides = torch.minimum(route[1:, 2:] - route[1:, :2], image[2:])
    room = (route[0, 2:] - (route[1:, 2:] - route[1:, :2])).clamp(min=1)
    corners = ((image[2:] - sides) * (route[1:, :2] / room).clamp(max=1)).round().long()
    return torch.cat([image[None], torch.cat([corners, corners + sides], dim=1)])


class PrefixPolicy(Policy[list[Tensor]]):
    """Takes the windows of a plan that pay at the price; serves every plan in one order: greedy, random, fixed.

    As all prices cut prefixes of one order, the pixels read never rise with the price, on any images.
    """

    def decide(self, scores: Tensor, knob: float) -> list[Tensor]:
        """Returns the route of each image with ``scores`` as of `plan_scores`."""
        price = check_knob(knob)
        return [_cut(row, price) for row in _steps(scores)]

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns price 0, at which whole images are read where plans allow it, and one at which nothing pays."""
        prices = _steps(scores)[:, 1:, 4]
        return 0.0, _above(float(prices.amax())) if prices.numel() else 1.0


@dataclass(frozen=True)
class RungPolicy(Policy[list[Tensor]]):
    """Takes the windows that were planned for the rung at or below the price; serves the Q-network.

    A Q-network plans anew for each price, so nothing keeps it from reading more at a higher one. Rungs at which it did
    on calibration images are replaced by the rung below them: there the cost falls, and elsewhere on average.

    Attributes:
        prices: Of the L rungs, rising; plans are made at these alone.
        used: For each rung, the one whose plan is taken.
    """

    prices: tuple[float, ...]
    used: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prices or len(self.prices) != len(self.used) or sorted(set(self.prices)) != list(self.prices):
            raise ValueError(f"rungs need rising prices and one rung to use for each, got {self.prices}, {self.used}")

    @classmethod
    def fit(cls, scores: Tensor, prices: Sequence[float], costs: CostTable[list[Tensor]]) -> Self:
        """Makes the mean cost on calibration images fall from rung to rung.

        Args:
            scores: Shape (N, L * (1 + T) * 5), N at least 1: the plans of each rung, one after another.
            prices: Of the rungs, rising.
            costs: What routes cost.
        """
        policy, used = cls(tuple(prices), tuple(range(len(prices)))), list[int]()
        mean_costs = [float(costs.of(policy.decide(scores, price)).mean()) for price in prices]
        for rung, cost in enumerate(mean_costs):
            used.append(rung if not used or cost <= mean_costs[used[-1]] else used[-1])
        return cls(tuple(prices), tuple(used))

    @property
    def num_replaced(self) -> int:
        """Rungs that would have cost more than one below them; a report says so."""
        return sum(rung != used for rung, used in enumerate(self.used))

    def price_at(self, knob: float) -> float:
        """Returns the price to plan for at this knob: that of the rung at or below it, the first below all."""
        return price_of_rung(self.prices, self.used, knob)

    def decide(self, scores: Tensor, knob: float) -> list[Tensor]:
        """Returns the route of each image with the plans of all rungs, as `fit` takes them."""
        rung = self.prices.index(self.price_at(knob))
        of_rung = scores.reshape(len(scores), len(self.prices), -1)[:, rung]
        return [_cut(row, 0.0) for row in _steps(of_rung)]

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the prices of the first and the last rung."""
        return self.prices[0], self.prices[-1]


def rung_scores(windows: Sequence[Sequence[Boxes]], wholes: Sequence[Boxes], steps: int = STEPS) -> Tensor:
    """Returns what `RungPolicy` decides on: (N, L * (1 + T) * 5).

    Args:
        windows: Of each image, the windows (W, 4) planned at each rung.
        wholes: Of each image, itself as a window (4,).
        steps: T, at least the windows of any plan.
    """
    rows = [
        plan_scores([Plan(whole, each, np.zeros(len(each))) for each in own], steps).flatten()
        for own, whole in zip(windows, wholes, strict=True)
    ]
    return torch.stack(rows)


def _steps(scores: Tensor) -> Tensor:
    """Returns scores as rows of five, (N, 1 + T, 5)."""
    return scores.cpu().reshape(len(scores), -1, 5)


def _cut(steps: Tensor, price: float) -> Tensor:
    """Returns the route (1 + W, 4) of the steps (1 + T, 5) that pay; the whole image replaces the windows before it."""
    whole, planned = steps[:1, :4], steps[1:]
    taken = planned[planned[:, 4].double() >= price, :4]
    if len(taken) and taken[-1].equal(whole[0]):
        taken = taken[-1:]
    return torch.cat([whole, taken]).long()


def _above(price: float) -> float:
    """Returns a price just above, also in single precision."""
    return max(price, 0.0) * (1 + 1e-6) + 1e-6
