"""Which routes the images take: over the sweep of the knob, and at the calibrated knob."""

import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from modicum.adaptive.curve import Curve, Point
from modicum.reporting.plots.drawing import INK, MUTED, STYLE, WIDE_IN, is_narrow, new_figure, show_percent
from modicum.reporting.quantities import format_share

# Routes have an order, from cheap to expensive, and so have these: lighter to darker, also in print and for any eye.
_RAMP = LinearSegmentedColormap.from_list("cost", ["#bfe3d0", "#56b4c9", "#2a7fb8", "#37509f"])
_TITLE_PAD = 20.0  # room for the mark of the calibrated knob
_MAX_NAMES = 8  # routes that are named one by one


@mpl.rc_context(STYLE)
def draw_routes(curve: Curve, *, calibrated: Point | None = None, width_in: float = WIDE_IN) -> Figure:
    """Draws the share of each route as bars over the sweep, and the histogram at the calibrated knob.

    Args:
        curve: Its routed points carry the shares; points without shares are left out.
        calibrated: The point whose histogram is shown beside; it also names the colours.
        width_in: Width of the figure in inches; panels stand side by side where it is wide.

    Raises:
        ValueError: If no point carries shares.
    """
    swept = [point for point in curve.routed if point.shares is not None and point.knob is not None]
    chosen = calibrated if calibrated is not None and calibrated.shares is not None else None
    names = order_routes([*swept, *([chosen] if chosen else [])], curve)
    if not names:
        raise ValueError("no point of the curve says which routes it took: trace it with shares")
    narrow = is_narrow(width_in)
    num_panels = bool(swept) + (chosen is not None)
    figure = new_figure(width_in, 2.6 * num_panels if narrow else 2.9)
    panels = _panels(figure, num_panels, narrow=narrow)
    if swept:
        _draw_sweep(panels[0], swept, names, chosen, every=3 if narrow else 2)
    if chosen:
        _draw_histogram(panels[-1], chosen, names)
    elif len(names) <= _MAX_NAMES:
        figure.legend(loc="outside upper right", ncols=4)
    return figure


def _panels(figure: Figure, number: int, *, narrow: bool) -> list[Axes]:
    """Returns one or two panels, the first one larger; stacked in a narrow figure."""
    if number == 1:
        return [figure.add_subplot()]
    if narrow:
        return list(figure.subplots(2, 1, height_ratios=[1.4, 1]))
    return list(figure.subplots(1, 2, width_ratios=[2.2, 1]))


def order_routes(points: Sequence[Point], curve: Curve) -> list[str]:
    """Returns the names of the routes of these points, cheapest first: by static routes, else by numbers in names."""
    names = {name for point in points for name in point.shares or {}}
    costs = {point.name: point.cost for point in curve.static}

    def price(name: str) -> tuple[float, list[float], str]:
        return costs.get(f"always {name}", 0.0), [float(digits) for digits in re.findall(r"\d+", name)], name

    return sorted(names, key=price)


def route_colours(names: Sequence[str]) -> list[str]:
    """Returns one colour per route, from light for the cheapest to dark for the most expensive."""
    return [to_hex(_RAMP(level)) for level in np.linspace(0, 1, max(len(names), 2))[: len(names)]]


def _draw_sweep(axes: Axes, points: Sequence[Point], names: Sequence[str], chosen: Point | None, every: int) -> None:
    bottom = np.zeros(len(points))
    for name, colour in zip(names, route_colours(names), strict=True):
        heights = np.array([(point.shares or {}).get(name, 0.0) for point in points])
        axes.bar(range(len(points)), heights, bottom=bottom, color=colour, width=0.86, label=name)
        bottom += heights
    ticks = range(0, len(points), every)
    axes.set_xticks(ticks, [f"{points[tick].knob:.2g}" for tick in ticks])
    show_percent(axes.yaxis)
    axes.grid(visible=False)
    axes.set_ylim(0, 1)
    axes.set_xlabel("knob: the higher, the cheaper")
    axes.set_title("routes over the sweep", color=MUTED, pad=_TITLE_PAD)
    if chosen is not None and chosen.knob is not None:
        place = float(np.interp(chosen.knob, [point.knob or 0.0 for point in points], range(len(points))))
        axes.annotate("calibrated", (place, 1.0), (0, 9), textcoords="offset points", ha="center", va="bottom")
        axes.plot(place, 1.025, marker="v", color=INK, markersize=6, clip_on=False)


def _draw_histogram(axes: Axes, chosen: Point, names: Sequence[str]) -> None:
    shares = [(chosen.shares or {}).get(name, 0.0) for name in names]
    bars = axes.barh(range(len(names)), shares, color=route_colours(names), height=0.8)
    axes.set_title("routes at the calibrated knob", color=MUTED, pad=_TITLE_PAD)
    axes.grid(visible=False)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    step = max(-(-len(names) // _MAX_NAMES), 1)
    ticks = range(0, len(names), step)
    axes.set_yticks(ticks, [names[tick] for tick in ticks], color=INK)
    if len(names) <= _MAX_NAMES:
        axes.bar_label(bars, [format_share(share) for share in shares], padding=4, color=INK)
    axes.set_xlim(0, 1.25 * max(shares))
    axes.set_ylim(-0.5, len(names) - 0.5)
