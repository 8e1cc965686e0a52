"""Which part of the accuracy axis to show large: where the decision between networks falls."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from modicum.adaptive.curve import Curve, Point

_LEAST_SPAN = 0.02  # two points of accuracy: below that, a plot would enlarge noise


@dataclass(frozen=True)
class Window:
    """A range of accuracies.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        cuts_off: Whether something lies outside.
    """

    low: float
    high: float
    cuts_off: bool


def choose_window(curves: Iterable[Curve], calibrated: Point | None = None) -> Window:
    """Chooses the range with the best networks and the calibrated point, and as much again below them.

    The cheapest routes of a menu may be useless, and would press what matters into a thin stripe. Where there is no
    calibrated point, the better half of each routed curve is what matters.
    """
    curves = tuple(curves)
    everything = _finite(value for curve in curves for point in all_points(curve) for value in _extent(point))
    reached = _finite(value for curve in curves for point in _reached(curve) for value in _extent(point))
    important = _finite(value for curve in curves for value in _important(curve, calibrated))
    if not reached or not important:
        return Window(0.0, 1.0, cuts_off=False)
    best, worst = max(reached), min(important)
    span = max(best - worst, _LEAST_SPAN)
    low = worst - 0.7 * span
    near = [point.worth for curve in curves for point in curve.static if low - span < point.worth < low]
    low = min([low, *(accuracy - 0.15 * span for accuracy in near)])
    if min(everything) > low - 0.5 * span:  # so little would be cut off that all of it can be shown
        low = min(everything) - 0.08 * span
    if max(everything) < best + 0.5 * span:  # the oracle may be out of all proportion
        best = max(everything)
    high = min(best + 0.1 * span, 1 + 0.04 * span)
    return Window(low, high, cuts_off=min(everything) < low or max(everything) > high)


def all_points(curve: Curve) -> tuple[Point, ...]:
    """Returns every point of a curve, whatever it stands for."""
    oracle = () if curve.oracle is None else (curve.oracle,)
    return (*curve.routed, *curve.random, *curve.static, *oracle, *curve.plain, *curve.cascade)


def _reached(curve: Curve) -> tuple[Point, ...]:
    """Returns the points that a network does reach, unlike the oracle."""
    return (*curve.routed, *curve.random, *curve.static, *curve.plain, *curve.cascade)


def _important(curve: Curve, calibrated: Point | None) -> list[float]:
    levels = [value for point in curve.plain for value in _extent(point)]
    if calibrated is not None:
        return [*levels, *_extent(calibrated)]
    if curve.routed:
        levels.append(median(point.worth for point in curve.routed))
    return levels or [point.worth for point in curve.static]


def _extent(point: Point) -> tuple[float, float, float]:
    return point.worth, point.low, point.high


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
