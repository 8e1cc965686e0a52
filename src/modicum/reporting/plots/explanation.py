"""Shows how one picture was classified: what each step saw of it, how sure it was, and the most probable classes."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL.Image import Image

from modicum.reporting.plots.drawing import BLUE, MUTED, STYLE, new_figure, show_percent
from modicum.storage.names import printable

_PANEL_IN = 2.1  # width of a step's picture
_LONGEST = 24  # characters of a class's name
_LINE = 30  # characters of a step's name beside each other


@mpl.rc_context(STYLE)
def draw_explanation(
    seen: Sequence[tuple[str, Image]], best: Sequence[tuple[str, float]], *, title: str = ""
) -> Figure:
    """Draws the steps of one picture side by side, and the probabilities of the best classes beside them.

    Args:
        seen: Name of each step, and the picture as the step saw it; drawn at one size, pixels as they are.
        best: The most probable classes with their probabilities in [0, 1], descending.
        title: Above all.
    """
    figure = new_figure(_PANEL_IN * (len(seen) + 1.4), 2.6)
    panels = figure.subplots(1, len(seen) + 1, width_ratios=[1] * len(seen) + [1.4], squeeze=False)[0]
    for panel, (name, picture) in zip(panels, seen, strict=False):
        panel.imshow(picture, interpolation="nearest")
        panel.set_title(textwrap.fill(printable(name), _LINE))
        panel.set_axis_off()
    bars = panels[-1]
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name, _ in best]
    bars.barh(range(len(best)), [share for _, share in best], color=BLUE, height=0.6)
    bars.set_yticks(range(len(best)), names)
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    show_percent(bars.xaxis)
    bars.grid(axis="y", visible=False)
    figure.suptitle(printable(title), color=MUTED, x=0.01, ha="left", fontsize=9)
    return figure
