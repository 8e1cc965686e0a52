"""Simple rivals of an adaptive network at its mean cost, and the gain of the network over them.

A static network costs the same for every sample; a mix sends each sample to one of two static networks at random; a
cascade has settings that cost more or less. The gain over a rival is a mean of differences between the same samples, so
its interval is that of a paired bootstrap.
"""
# N samples

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from modicum.adaptive.worth import RESAMPLES


class Priced(Protocol):
    """Something with a mean cost and a worth."""

    @property
    def cost(self) -> float:
        """Mean cost per sample."""

    @property
    def worth(self) -> float:
        """Worth of all samples."""


AnyPriced = TypeVar("AnyPriced", bound=Priced)


class Offer(NamedTuple):
    """Holds what a rival costs and is worth on each sample."""

    name: str
    cost: float  # mean per sample
    each: Tensor  # (N,) float64: worth of each sample, of a mix its expectation

    @property
    def worth(self) -> float:
        """Returns the mean worth."""
        return float(self.each.mean())


class Gain(NamedTuple):
    """Holds how far the worth of one way is above that of another, with the 95 % interval of the difference."""

    gain: float
    low: float
    high: float


def undominated(points: Sequence[AnyPriced]) -> tuple[AnyPriced, ...]:
    """Returns the points that no cheaper one equals or beats, cheapest first: the frontier."""
    kept: list[AnyPriced] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.worth)):
        if not kept or point.worth > kept[-1].worth:
            kept.append(point)
    return tuple(kept)


def upper_hull(points: Sequence[AnyPriced]) -> tuple[AnyPriced, ...]:
    """Returns the points that no mix of two others equals or beats, cheapest first: corners of the best mixes."""
    hull: list[AnyPriced] = []
    for point in undominated(points):
        while len(hull) > 1 and not _turns_down(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return tuple(hull)


def static_at(offers: Sequence[Offer], cost: float) -> Offer | None:
    """Returns the best static network that costs no more, the cheapest of equals; None where none is as cheap."""
    affordable = [offer for offer in offers if offer.cost <= cost]
    return undominated(affordable)[-1] if affordable else None


def mix_at(offers: Sequence[Offer], cost: float) -> Offer | None:
    """Returns the best mix of two static networks at a mean cost; None where none is as cheap.

    At a cost beyond the best network's, and at that of a corner of the hull, it is that network by itself.
    """
    return between(upper_hull(offers), cost)


def between(settings: Sequence[Offer], cost: float) -> Offer | None:
    """Returns the mix of the two neighbouring settings that meets a mean cost; None where none is as cheap.

    Args:
        settings: At rising costs.
        cost: Mean cost per sample; beyond the last setting's, that is the answer.
    """
    affordable = [setting for setting in settings if setting.cost <= cost]
    if not affordable:
        return None
    below, above = affordable[-1], settings[len(affordable) :][:1]
    if not above or below.cost == cost:
        return below
    weight = (cost - below.cost) / (above[0].cost - below.cost)
    name = below.name if below.name == above[0].name else f"{below.name} and {above[0].name}"
    return Offer(name, cost, torch.lerp(below.each, above[0].each, weight))


def paired_gain(ours: Tensor, rival: Tensor) -> Gain:
    """Returns the mean of ``ours - rival`` and its bootstrap 95 % interval.

    Every resampled set holds the same samples for both, so what makes a sample hard for both leaves no mark on it.

    Args:
        ours: Shape (N,), N at least 1: worth of each sample.
        rival: Shape (N,), of the same samples in the same order.

    Raises:
        ValueError: If the shapes differ, or there are no samples.
    """
    if ours.shape != rival.shape or ours.ndim != 1 or not len(ours):
        raise ValueError(
            f"a paired comparison needs the same samples, at least one, got {tuple(ours.shape)} and "
            f"{tuple(rival.shape)}"
        )
    differences = (ours.double() - rival.double()).numpy()
    generator = np.random.default_rng(0)
    draws = [differences[generator.integers(len(ours), size=len(ours))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Gain(float(differences.mean()), float(low), float(high))


def _turns_down(first: Priced, middle: Priced, last: Priced) -> bool:
    """Tells whether the middle point lies above the line between the others, which cost less and more."""
    rise = (middle.worth - first.worth) * (last.cost - first.cost)
    return rise > (last.worth - first.worth) * (middle.cost - first.cost)
