"""Several networks in one plot of accuracy against cost, above the frontier of static ones."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modicum.adaptive.curve import Curve, Point
from modicum.reporting.plots.drawing import (
    CYCLE,
    MARKERS,
    MUTED,
    PAPER,
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

_NOTE_PT = 7.5
_TWO_PANELS_IN = 10.5  # of a picture by itself, which no column of a page limits


@dataclass(frozen=True)
class Entry:
    """One network in one unit of cost.

    Attributes:
        name: Its label; it keeps its colour in all panels.
        curve: What it can do.
        calibrated: The point to mark as the one in use, in the same unit.
        members: Plain networks of which it consists, for the static frontier; empty for an adaptive network.
    """

    name: str
    curve: Curve
    calibrated: Point | None = None
    members: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Line:
    """An adaptive network as it is drawn.

    Attributes:
        entry: What it is.
        number: Chooses colour and marks; entries of one name have the same.
    """

    entry: Entry
    number: int

    @property
    def colour(self) -> str:
        """Of its line and label."""
        return CYCLE[self.number % len(CYCLE)]

    @property
    def marker(self) -> str:
        """Of its points."""
        return MARKERS[self.number % len(MARKERS)]


@dataclass(frozen=True)
class Panel:
    """What is drawn in one unit.

    Attributes:
        lines: The adaptive networks.
        members: The static ones, cheapest first, by the names to write.
        scale: How costs are written.
        right: The end of the horizontal axis.
    """

    lines: tuple[Line, ...]
    members: tuple[Point, ...]
    scale: CostScale
    right: float

    def place(self, point: Point) -> tuple[float, float]:
        """Returns the position of a point in the plot."""
        return point.cost / self.scale.divisor, point.worth

    def frontier(self) -> list[tuple[float, float]]:
        """Returns the corners of the best accuracy that a static network has at no higher cost."""
        corners: list[tuple[float, float]] = []
        for cost, accuracy in map(self.place, self.members):
            if not corners or accuracy > corners[-1][1]:
                corners += [(cost, corners[-1][1])] if corners else []
                corners.append((cost, accuracy))
        return [*corners, (self.right, corners[-1][1])] if corners else []  # the best stays on offer at any higher cost


def write_comparison(path: str | Path, entries: Sequence[Entry], *, note: str = "") -> None:
    """Writes the plot of `draw_comparison` as PNG or SVG, by the suffix of ``path``.

    Raises:
        ValueError: If the suffix is another one, or there are no entries.
    """
    several = len({entry.curve.unit for entry in entries}) > 1
    write_figure(path, draw_comparison(entries, note=note, width_in=_TWO_PANELS_IN if several else WIDE_IN))


@mpl.rc_context(STYLE)
def draw_comparison(entries: Sequence[Entry], *, note: str = "", width_in: float = WIDE_IN) -> Figure:
    """Draws routed curves with their bands, hollow marks for their plain networks, and the static frontier in grey.

    Args:
        entries: Multiply-adds and milliseconds get a panel each.
        note: Text below the figure.
        width_in: Width of the figure in inches; panels stand side by side where it is wide.

    Raises:
        ValueError: If there are no entries.
    """
    if not entries:
        raise ValueError("a comparison needs at least one network, got none")
    units = [unit for unit in ("MAC", "ms") if any(entry.curve.unit == unit for entry in entries)]
    narrow = is_narrow(width_in)
    rows, columns = (len(units), 1) if narrow else (1, len(units))
    figure = new_figure(width_in, 3.9 * rows + (0.3 if note else 0))
    axes_of_panels = figure.subplots(rows, columns, squeeze=False).ravel()
    if note:
        lines = textwrap.fill(note, round(16 * width_in))
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=_NOTE_PT, color=MUTED)
    names = list(dict.fromkeys(entry.name for entry in entries if not entry.members))
    panels = [_panel([entry for entry in entries if entry.curve.unit == unit], names) for unit in units]
    window = choose_window(_visible(entry) for entry in entries)
    for axes, panel in zip(axes_of_panels, panels, strict=True):
        _draw_panel(axes, panel, window)
    for axes, panel in zip(axes_of_panels, panels, strict=True):  # only now: placing labels needs the final layout
        _label_panel(axes, panel, window)
    return figure


def _panel(entries: Sequence[Entry], names: Sequence[str]) -> Panel:
    families = [entry for entry in entries if entry.members]
    members = [
        replace(point, name=f"{entry.name}: {point.name}") if len(families) > 1 else point
        for entry in families
        for point in entry.members
    ]
    lines = tuple(Line(entry, names.index(entry.name)) for entry in entries if not entry.members)
    costs = [point.cost for line in lines for point in _drawn(line.entry)] + [point.cost for point in members]
    scale = cost_scale(costs, entries[0].curve.unit)
    right = 1.08 * max((cost for cost in costs if np.isfinite(cost)), default=0.0) / scale.divisor or 1.0
    return Panel(lines, tuple(sorted(members, key=lambda point: point.cost)), scale, right)


def _drawn(entry: Entry) -> tuple[Point, ...]:
    calibrated = () if entry.calibrated is None else (entry.calibrated,)
    cascade = () if entry.members else entry.curve.cascade
    return (*entry.curve.routed, *entry.curve.plain, *cascade, *calibrated)


def _visible(entry: Entry) -> Curve:
    """Returns the drawn part of a curve; every static network counts as a plain one."""
    routed = () if entry.members else entry.curve.routed
    plain = entry.members or entry.curve.plain
    return replace(entry.curve, routed=routed, plain=plain, static=(), random=(), oracle=None)


def _draw_panel(axes: Axes, panel: Panel, window: Window) -> None:
    axes.set_xlim(0, panel.right)
    axes.set_ylim(window.low, window.high)
    show_percent(axes.yaxis)
    axes.set_xlabel(f"mean cost per image, {panel.scale.name}")
    axes.set_title("accuracy", color=MUTED)
    has_plain = any(line.entry.curve.plain for line in panel.lines)
    has_cascade = any(line.entry.curve.cascade for line in panel.lines)
    legend = [*(["hollow: plain networks"] if has_plain else []), *(["grey: static"] if panel.members else [])]
    legend += ["dotted: confidence cascade"] if has_cascade else []
    axes.set_title(", ".join(legend), loc="right", color=MUTED)
    _draw_frontier(axes, panel)
    for line in panel.lines:
        _draw_line(axes, line, panel)


def _draw_frontier(axes: Axes, panel: Panel) -> None:
    if not panel.members:
        return
    axes.plot(*np.transpose(panel.frontier()), color=MUTED, linewidth=0.8)
    for point in panel.members:
        cost, accuracy = panel.place(point)
        axes.vlines(cost, point.low, point.high, color=MUTED, linewidth=0.8, alpha=0.6)
        axes.plot(cost, accuracy, marker="D", markersize=5, color=MUTED)


def _draw_line(axes: Axes, line: Line, panel: Panel) -> None:
    curve, calibrated = line.entry.curve, line.entry.calibrated
    style = "-" if line.number < len(CYCLE) else "--"  # colours repeat, so the line must tell
    costs = [panel.place(point)[0] for point in curve.routed]
    low, high = [point.low for point in curve.routed], [point.high for point in curve.routed]
    axes.fill_between(costs, low, high, color=line.colour, alpha=0.12, linewidth=0)
    accuracies = [point.worth for point in curve.routed]
    axes.plot(costs, accuracies, color=line.colour, marker=line.marker, markersize=3.5, linestyle=style)
    if curve.cascade:
        axes.plot(*np.transpose([panel.place(point) for point in curve.cascade]), color=line.colour, linestyle=":")
    for point in curve.plain:
        axes.plot(*panel.place(point), marker=line.marker, markersize=7, color=line.colour, fillstyle="none")
    if calibrated is not None:
        ring: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 1.2}
        axes.plot(*panel.place(calibrated), marker=line.marker, markersize=9, color=line.colour, zorder=5, **ring)


def _label_panel(axes: Axes, panel: Panel, window: Window) -> None:
    lines = [
        [panel.place(point) for point in line.entry.curve.routed or line.entry.curve.plain] for line in panel.lines
    ]
    dotted = [[panel.place(point) for point in line.entry.curve.cascade] for line in panel.lines]
    # A static network has one place only, an adaptive one a whole line: so the static ones choose first.
    labels = [Label(point.name, (panel.place(point),), MUTED) for point in panel.members]
    for line, places in zip(panel.lines, lines, strict=True):
        anchors = tuple(place for place in places if place[1] > window.low)
        if anchors:
            labels.append(Label(line.entry.name, anchors[:: max(len(anchors) // 6, 1)], line.colour))
    marks = [point for line in panel.lines for point in _marked(line.entry)] + list(panel.members)
    bars = [[(panel.place(point)[0], end) for end in (point.low, point.high)] for point in panel.members]
    spots = [panel.place(point) for point in marks]
    place_labels(axes, labels, lines=[*lines, *dotted, panel.frontier(), *bars], spots=spots, avoidance=8.0)


def _marked(entry: Entry) -> Iterable[Point]:
    return (*entry.curve.plain, *(() if entry.calibrated is None else (entry.calibrated,)))
