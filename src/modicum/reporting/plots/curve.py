"""Accuracy against cost: the routed network, what it is to be held against, and the calibrated point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.rivals import undominated
from modicum.reporting.plots.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PAPER,
    PURPLE,
    STYLE,
    VERMILION,
    WIDE_IN,
    is_narrow,
    new_figure,
    show_percent,
)
from modicum.reporting.plots.labels import Label, place_labels
from modicum.reporting.plots.window import Window, all_points, choose_window
from modicum.reporting.quantities import CostScale, cost_scale, format_percent, reference_cost


@dataclass(frozen=True)
class Mark:
    """A point that is drawn by itself.

    Attributes:
        point: The point.
        text: Its label.
        colour: Of marker and label.
        marker: Its shape.
        size: Its diameter in points.
    """

    point: Point
    text: str
    colour: str
    marker: str
    size: float


@dataclass(frozen=True)
class CostAxis:
    """The horizontal axis: shares of the plain network's cost where that is known, else costs.

    Attributes:
        divisor: The cost drawn at 1.
        scale: How costs are written.
        shows_shares: Whether 1 is the plain network.
    """

    divisor: float
    scale: CostScale
    shows_shares: bool

    def tick(self, value: float) -> str:
        """Returns the label of a tick."""
        cost = self.scale.number(value * self.divisor)
        return f"{round(100 * value, 4):g} %\n{cost}" if self.shows_shares else cost

    @property
    def title(self) -> str:
        """What the axis says."""
        if self.shows_shares:  # two lines, as below the ticks
            return f"share of the plain network's cost\n{self.scale.name} per image"
        return f"mean cost per image, {self.scale.name}"


@mpl.rc_context(STYLE)
def draw_curve(
    curve: Curve,
    *,
    calibrated: Point | None = None,
    plain_cost: float | None = None,
    width_in: float = WIDE_IN,
    measure: str = "accuracy",
) -> Figure:
    """Draws the accuracy-cost curve with its baselines: the relevant range large, the whole small beside it.

    Args:
        curve: What to draw.
        calibrated: The point to mark as the one in use.
        plain_cost: The cost that counts as 100 %; None takes that of the most expensive network without a decision.
        width_in: Width of the figure in inches; the small panel stands beside the large one where it is wide.
        measure: Name of the worth.
    """
    window = choose_window([curve], calibrated)
    axis = _cost_axis(curve, plain_cost or reference_cost(curve))
    marks = _marks(curve, calibrated)
    axes, overview = _panels(width_in, has_overview=window.cuts_off)
    _set_axes(axes, curve, window, axis, measure)
    _draw_points(axes, curve, marks, axis, window)
    if overview is not None:
        _draw_overview(overview, curve, marks, axis, window)
    drawn = (curve.routed, curve.random, curve.cascade)
    lines = [[(point.cost / axis.divisor, point.worth) for point in line] for line in drawn]
    spots = [_place(mark.point, axis, window) for mark in marks]
    place_labels(axes, list(_labels(curve, marks, axis, window)), lines=lines, spots=spots)
    figure = axes.get_figure(root=True)
    assert figure is not None  # only axes that were removed have none
    return figure


def _cost_axis(curve: Curve, plain_cost: float | None) -> CostAxis:
    scale = cost_scale((point.cost for point in all_points(curve)), curve.unit)
    return CostAxis(plain_cost, scale, True) if plain_cost else CostAxis(scale.divisor, scale, False)


def _panels(width_in: float, *, has_overview: bool) -> tuple[Axes, Axes | None]:
    """Returns the large panel, and a small one if something is cut off."""
    narrow = is_narrow(width_in)
    figure = new_figure(width_in, (5.6 if has_overview else 4.0) if narrow else 4.3)
    if not has_overview:
        return figure.add_subplot(), None
    ratios = [3.4, 1]
    panels = figure.subplots(2, 1, height_ratios=ratios) if narrow else figure.subplots(1, 2, width_ratios=ratios)
    return panels[0], panels[1]


def _marks(curve: Curve, calibrated: Point | None) -> list[Mark]:
    """Returns the marks, the most important last so that it is drawn on top; points without accuracy are left out."""
    labelled = {*map(id, undominated(curve.static)), *map(id, undominated(curve.plain))}
    labelled |= {id(max(curve.plain, key=lambda point: point.cost))} if curve.plain else set()

    def mark(point: Point, colour: str, shape: str, size: float) -> Mark:
        """Names only the frontier: many networks may be static, and a name tells nothing of one that is beaten."""
        return (
            Mark(point, point.name, colour, shape, size) if id(point) in labelled else Mark(point, "", MUTED, shape, 3)
        )

    marks = [mark(point, MUTED, "s", 5.5) for point in curve.static]
    if curve.oracle is not None:
        marks.append(Mark(curve.oracle, "oracle", GREEN, "*", 10))
    marks.extend(mark(point, INK, "D", 6) for point in curve.plain)
    if calibrated is not None:
        marks.append(Mark(calibrated, f"calibrated: {format_percent(calibrated.worth)}", BLUE, "o", 10))
    return [mark for mark in marks if np.isfinite(mark.point.worth)]


def _set_axes(axes: Axes, curve: Curve, window: Window, axis: CostAxis, measure: str) -> None:
    highest = max((point.cost for point in all_points(curve) if np.isfinite(point.cost)), default=0.0)
    axes.set_xlim(0, 1.06 * highest / axis.divisor or 1.0)
    axes.set_ylim(window.low, window.high)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: axis.tick(value)))
    show_percent(axes.yaxis)
    axes.set_xlabel(axis.title)
    axes.set_title(measure, color=MUTED)


def _draw_points(axes: Axes, curve: Curve, marks: Sequence[Mark], axis: CostAxis, window: Window) -> None:
    _draw_line(axes, curve.random, axis, color=VERMILION, linestyle=(0, (4, 2)), linewidth=1.4)
    _draw_line(axes, curve.cascade, axis, color=PURPLE, linestyle=(0, (1, 1)), linewidth=1.8)
    _draw_line(axes, curve.routed, axis, color=BLUE, marker="o", markersize=3)
    for mark in marks:
        x, y = _place(mark.point, axis, window)
        ring: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 1.5} if mark.marker == "o" else {}
        shape = "v" if mark.point.worth < y else "^" if mark.point.worth > y else mark.marker
        axes.plot(x, y, marker=shape, markersize=mark.size, color=mark.colour, clip_on=False, zorder=5, **ring)


def _draw_line(axes: Axes, points: Sequence[Point], axis: CostAxis, **style: Any) -> None:  # noqa: ANN401  matplotlib's
    costs = [point.cost / axis.divisor for point in points]
    low, high = [point.low for point in points], [point.high for point in points]
    axes.fill_between(costs, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(costs, [point.worth for point in points], **style)


def _place(point: Point, axis: CostAxis, window: Window) -> tuple[float, float]:
    """Returns the position of a point in the plot; at the edge if it lies outside the window."""
    return point.cost / axis.divisor, min(max(point.worth, window.low), window.high)


def _labels(curve: Curve, marks: Sequence[Mark], axis: CostAxis, window: Window) -> Iterator[Label]:
    for mark in reversed([mark for mark in marks if mark.text]):
        place = _place(mark.point, axis, window)
        is_outside = place[1] != mark.point.worth
        text = f"{mark.text}: {format_percent(mark.point.worth)}" if is_outside else mark.text
        yield Label(text, (place,), mark.colour, weight="bold" if mark.marker == "o" else "normal")
    for points, text, colour in (
        (curve.routed, "routed, 95 % band", BLUE),
        (curve.random, "random, same shares", VERMILION),
        (curve.cascade, "confidence cascade", PURPLE),
    ):
        visible = [_place(point, axis, window) for point in points if point.worth > window.low]
        # The middle of a line is where it is furthest from the crowd at its ends.
        middle_first = sorted(visible, key=lambda place: abs(place[1] - (window.low + window.high) / 2))
        if visible:
            yield Label(text, tuple(middle_first[:5]), colour)


def _draw_overview(axes: Axes, curve: Curve, marks: Sequence[Mark], axis: CostAxis, window: Window) -> None:
    """Draws everything, small and without labels, with the range of the large panel shaded."""
    accuracies = [point.worth for point in all_points(curve) if np.isfinite(point.worth)]
    whole = Window(min(accuracies), max(accuracies), cuts_off=False)
    _draw_points(axes, curve, [replace(mark, size=0.6 * mark.size) for mark in marks], axis, whole)
    axes.axhspan(window.low, window.high, color=MUTED, alpha=0.15, linewidth=0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: axis.tick(value).partition("\n")[0]))
    show_percent(axes.yaxis)
    axes.set_title("as a whole", color=MUTED)
