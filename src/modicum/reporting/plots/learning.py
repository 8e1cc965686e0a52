"""Learning curves: what the log of a training says, stages side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from modicum.reporting.plots.drawing import CYCLE, INK, STYLE, WIDE_IN, new_figure, show_percent

_MAX_POINTS = 150  # per line; more cannot be told apart, and would swell the report
_PANEL_IN = 1.8  # the least width of a stage that can still be read

Rows = Sequence[Mapping[str, Any]]
Series = dict[str, tuple[list[float], list[float]]]


@mpl.rc_context(STYLE)
def draw_learning(rows: Rows, *, width_in: float = WIDE_IN) -> Figure:
    """Draws losses above and accuracies below, one column per stage in the order of training.

    Args:
        rows: Lines of ``metrics.jsonl``: ``stage``, ``step`` and figures whose names say what they are, such as
            ``train/loss`` and ``val/accuracy``. Other figures, and those that were not finite, are left out.
        width_in: Width of the figure in inches; stages that do not fit beside each other stand below.

    Raises:
        ValueError: If no row holds a loss or an accuracy.
    """
    stages = {stage: series for stage, series in _by_stage(rows).items() if series}
    if not stages:
        raise ValueError("the log holds neither losses nor accuracies: has the training begun?")
    columns = min(len(stages), max(int(width_in / _PANEL_IN), 1))
    bands = math.ceil(len(stages) / columns)
    figure = new_figure(width_in, 3.6 * bands)
    panels = figure.subplots(2 * bands, columns, squeeze=False)
    for number, (stage, series) in enumerate(stages.items()):
        band, column = divmod(number, columns)
        _draw_stage(panels[2 * band, column], panels[2 * band + 1, column], stage, series)
    for band in range(bands):
        panels[2 * band, 0].set_ylabel("loss")
        panels[2 * band + 1, 0].set_ylabel("accuracy")
    for number in range(len(stages), bands * columns):
        band, column = divmod(number, columns)
        panels[2 * band, column].remove()
        panels[2 * band + 1, column].remove()
    _share_accuracies(panels, len(stages))
    return figure


def has_curves(rows: Rows) -> bool:
    """Tells whether `draw_learning` would find anything to draw."""
    return any(_by_stage(rows).values())


def _by_stage(rows: Rows) -> dict[str, Series]:
    """Returns the steps and values of every loss and accuracy, by stage and name."""
    stages: dict[str, Series] = {}
    for row in rows:
        series = stages.setdefault(str(row.get("stage", "")), {})
        for name, value in row.items():
            if _is_drawn(name) and isinstance(value, int | float) and math.isfinite(value):
                steps, values = series.setdefault(name, ([], []))
                steps.append(float(row.get("step") or 0))
                values.append(float(value))
    return stages


def _is_drawn(name: str) -> bool:
    return "loss" in name or "accuracy" in name


def _draw_stage(above: Axes, below: Axes, stage: str, series: Series) -> None:
    above.set_title(stage, color=INK, weight="bold")
    losses = {name: line for name, line in series.items() if "loss" in name}
    _draw_series(above, losses)
    _draw_series(below, {name: line for name, line in series.items() if name not in losses})
    above.set_ylim(bottom=min(0, above.get_ylim()[0]))
    below.sharex(above)
    show_percent(below.yaxis)
    below.set_xlabel("step")
    above.tick_params(labelbottom=False)


def _draw_series(axes: Axes, series: Series) -> None:
    for colour, (name, (steps, values)) in zip(CYCLE * len(series), series.items(), strict=False):
        is_mean = name.endswith(("loss", "accuracy"))  # of what the other lines show in part
        axes.plot(*_thin(steps, values), color=colour, linewidth=1.8 if is_mean else 1.1, label=_shorten(name))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.02)
    if len(series) > 1:
        axes.legend(loc="best", handlelength=1.0, labelspacing=0.2, borderpad=0.1)
    axes.set_visible(bool(series))


def _thin(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns at most `_MAX_POINTS` points: means over equal numbers of neighbours."""
    size = math.ceil(len(values) / _MAX_POINTS)
    starts = range(0, len(values), size)
    return (
        [float(np.mean(steps[start : start + size])) for start in starts],
        [float(np.mean(values[start : start + size])) for start in starts],
    )


def _shorten(name: str) -> str:
    """Shortens the name of a figure: ``"val/accuracy_32px"`` becomes ``"val 32px"``."""
    part, _, figure = name.partition("/")
    return f"{part} {figure.removeprefix('accuracy').removeprefix('_').replace('_', ' ')}".strip()


def _share_accuracies(panels: NDArray[Any], num_stages: int) -> None:
    """Sets one range for the accuracies of all stages, so that they can be compared."""
    below = panels[1::2].ravel()[:num_stages]
    drawn = [axes for axes in below if axes.get_visible()]
    if not drawn:
        return
    low = min(axes.get_ylim()[0] for axes in drawn)
    high = max(axes.get_ylim()[1] for axes in drawn)
    for axes in drawn:
        axes.set_ylim(max(low, 0.0), min(high, 1.02))
