"""The saving that multiply-adds promise beside the one that the clock confirms."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modicum.adaptive.efficiency import Efficiency
from modicum.reporting.plots.drawing import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    STYLE,
    WIDE_IN,
    is_narrow,
    new_figure,
    show_percent,
)
from modicum.reporting.quantities import format_share


@mpl.rc_context(STYLE)
def draw_efficiency(comparisons: Sequence[Efficiency], *, width_in: float = WIDE_IN) -> Figure:
    """Draws two bars per batch size, the theoretical and the measured saving, one row of bars per device.

    Raises:
        ValueError: If there are no comparisons.
    """
    if not comparisons:
        raise ValueError("an efficiency plot needs at least one comparison, got none")
    devices = list(dict.fromkeys(_machine(comparison) for comparison in comparisons))
    figure = new_figure(width_in, 2.6 * len(devices))
    panels = figure.subplots(len(devices), 1, squeeze=False, sharey=True).ravel()
    for axes, device in zip(panels, devices, strict=True):
        members = [comparison for comparison in comparisons if _machine(comparison) == device]
        _draw_device(axes, members, 7.5 if is_narrow(width_in) else 9.0)
        axes.set_title(f"saving on {device}", color=MUTED)
    lowest = min(0.0, *(comparison.saved_on_clock for comparison in comparisons))
    panels[0].set_ylim(1.2 * lowest, 1.18)  # room for the legend above the highest bar
    return figure


def _draw_device(axes: Axes, members: Sequence[Efficiency], font_size: float) -> None:
    places = np.arange(len(members))
    for side, values, colour, label in (
        (-0.2, [member.saved_in_theory for member in members], ORANGE, "multiply-adds saved"),
        (0.2, [member.saved_on_clock for member in members], BLUE, "time saved"),
    ):
        bars = axes.bar(places + side, values, width=0.36, color=colour, label=label)
        axes.bar_label(bars, [format_share(value) for value in values], padding=2, color=INK, fontsize=font_size)
    axes.set_xticks(places, [f"batch {member.batch_size}" for member in members], color=INK)
    show_percent(axes.yaxis)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.6, max(len(members) - 0.4, 2.6))
    axes.legend(loc="upper right", ncols=2)


def _machine(comparison: Efficiency) -> str:
    threads = f", {comparison.threads} thread{'s' * (comparison.threads > 1)}" if comparison.device == "cpu" else ""
    return f"{comparison.device}{threads}"
