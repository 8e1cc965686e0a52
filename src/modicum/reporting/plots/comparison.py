"""Several networks in one plot of accuracy against cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modicum.adaptive.curve import Curve, Point
from modicum.reporting.plots.drawing import (
    CYCLE,
    MARKERS,
    MUTED,
    STYLE,
    WIDE_IN,
    is_narrow,
    new_figure,
    show_percent,
    write_figure,
)
from modicum.reporting.plots.labels import Label, place_labels
from modicum.reporting.plots.window import Window, choose_window
from modicum.reporting.quantities import CostScale, cost_scale

NamedCurves = Sequence[tuple[str, Curve]]


@dataclass(frozen=True)
class Member:
    """One curve of the comparison.

    Attributes:
        name: Its label.
        curve: What it is.
        number: Chooses colour and marks; curves of one name have the same.
    """

    name: str
    curve: Curve
    number: int

    @property
    def colour(self) -> str:
        """Of its line and label."""
        return CYCLE[self.number % len(CYCLE)]


def write_comparison(path: str | Path, curves: NamedCurves) -> None:
    """Writes the plot of `draw_comparison` as PNG or SVG, as the suffix of ``path`` says.

    Raises:
        ValueError: If the suffix is another one, or there are no curves.
    """
    write_figure(path, draw_comparison(curves))


@mpl.rc_context(STYLE)
def draw_comparison(curves: NamedCurves, *, width_in: float = WIDE_IN) -> Figure:
    """The routed curves with their bands, and hollow marks for networks without decision in the same colours.

    Args:
        curves: Name and curve of each network; a name keeps its colour in all panels. Curves in multiply-adds and
            curves in milliseconds get a panel each.
        width_in: Width of the figure in inches; panels stand side by side where it is wide.

    Raises:
        ValueError: If there are no curves.
    """
    if not curves:
        raise ValueError("a comparison needs at least one curve, got none")
    units = [unit for unit in ("MAC", "ms") if any(curve.unit == unit for _, curve in curves)]
    rows, columns = (len(units), 1) if is_narrow(width_in) else (1, len(units))
    figure = new_figure(width_in, 3.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(name for name, _ in curves))
    members = [Member(name, curve, names.index(name)) for name, curve in curves]
    window = choose_window(curve for _, curve in curves)
    groups = [[member for member in members if member.curve.unit == unit] for unit in units]
    for axes, group in zip(panels, groups, strict=True):
        _draw_panel(axes, group, window)
    for axes, group in zip(panels, groups, strict=True):  # only now, because placing labels needs the final layout
        _label_panel(axes, group, window)
    return figure


def _draw_panel(axes: Axes, members: Sequence[Member], window: Window) -> None:
    costs = [point.cost for member in members for point in _drawn(member.curve) if np.isfinite(point.cost)]
    scale = _scale(members)
    axes.set_xlim(0, 1.08 * max(costs, default=0.0) / scale.divisor or 1.0)
    axes.set_ylim(window.low, window.high)
    show_percent(axes.yaxis)
    axes.set_xlabel(f"mean cost per image, {scale.name}")
    axes.set_title("right answers", color=MUTED)
    if any(member.curve.plain for member in members):
        axes.set_title("hollow: plain networks", loc="right", color=MUTED)
    for member in members:
        _draw_curve(axes, member, scale.divisor)


def _label_panel(axes: Axes, members: Sequence[Member], window: Window) -> None:
    divisor = _scale(members).divisor
    lines = [_line(member.curve, divisor) for member in members]
    labels = []
    for member, line in zip(members, lines, strict=True):
        anchors = tuple(place for place in line if place[1] > window.low)
        if anchors:
            labels.append(Label(member.name, anchors[:: max(len(anchors) // 6, 1)], member.colour))
    spots = [(point.cost / divisor, point.accuracy) for member in members for point in member.curve.plain]
    place_labels(axes, labels, lines=lines, spots=spots)


def _draw_curve(axes: Axes, member: Member, divisor: float) -> None:
    curve, colour, marker = member.curve, member.colour, MARKERS[member.number % len(MARKERS)]
    style = "-" if member.number < len(CYCLE) else "--"  # colours repeat, so the line must tell
    costs = [point.cost / divisor for point in curve.routed]
    low, high = [point.low for point in curve.routed], [point.high for point in curve.routed]
    axes.fill_between(costs, low, high, color=colour, alpha=0.12, linewidth=0)
    accuracies = [point.accuracy for point in curve.routed]
    axes.plot(costs, accuracies, color=colour, marker=marker, markersize=4, linestyle=style)
    for point in curve.plain:
        axes.plot(point.cost / divisor, point.accuracy, marker=marker, markersize=7, color=colour, fillstyle="none")


def _line(curve: Curve, divisor: float) -> list[tuple[float, float]]:
    points = curve.routed or curve.plain
    return [(point.cost / divisor, point.accuracy) for point in points]


def _drawn(curve: Curve) -> tuple[Point, ...]:
    return (*curve.routed, *curve.plain)


def _scale(members: Sequence[Member]) -> CostScale:
    costs = (point.cost for member in members for point in _drawn(member.curve))
    return cost_scale(costs, members[0].curve.unit)
