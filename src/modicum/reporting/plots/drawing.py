"""The look of all plots, and the way from a figure to a file."""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from modicum.storage.names import printable
from modicum.storage.outputs import write_output

WIDE_IN = 7.6  # the text column of a page on a desk
NARROW_IN = 3.9  # a telephone held upright

INK = "#1f2328"
MUTED = "#656d76"
RULE = "#d8dee4"
PAPER = "#ffffff"

# Okabe and Ito's colours, told apart with any kind of colour vision; its yellow is too pale for lines.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY = "#e69f00", "#56b4e9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
MARKERS = "osD^vPX"  # one per colour of the cycle, for print in grey

THEME = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    PAPER: "paper",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PURPLE: "purple",
    ORANGE: "orange",
    SKY: "sky",
}
"""Names of the colours, by which a page puts others in their place on dark ground."""

# Any: matplotlib types its settings by an enumeration of all names, which differs between releases.
STYLE: Any = {
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # names of networks and classes may hold dollar signs
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "modicum",  # equal plots get equal ids
    "svg.fonttype": "none",  # text stays text: a third of the size, and it can be searched and read aloud
}


def new_figure(width_in: float, height_in: float) -> Figure:
    """Returns an empty figure with the canvas that measures its text."""
    figure = Figure(figsize=(width_in, height_in), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def is_narrow(width_in: float) -> bool:
    """Tells whether a figure of this width needs the narrow layout."""
    return width_in < (WIDE_IN + NARROW_IN) / 2


def show_percent(axis: Axis) -> None:
    """Formats the ticks of an axis of shares as per cent, with no more decimals than they need."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 4):g} %"))


def figure_to_svg(figure: Figure) -> str:
    """Returns the figure as an SVG document on a transparent ground; equal figures give equal text."""
    buffer = io.StringIO()
    _show_names(figure)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Text stays text, in the reader's own fonts, so what matplotlib's lacks is not missing there.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # The sizes of the text were measured in matplotlib's own font, which the reader need not have.
    return re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", buffer.getvalue())


def figure_to_png(figure: Figure, dots_per_inch: int = 160) -> bytes:
    """Returns the figure as a PNG file on white ground."""
    buffer = io.BytesIO()
    _show_names(figure)
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor=PAPER, metadata={"Software": None})
    return buffer.getvalue()


def _show_names(figure: Figure) -> None:
    """Escapes every label so that XML, fonts and UTF-8 accept it: names of runs and columns may hold anything."""
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text(), keep="\n"))


def check_figure_name(path: str | Path) -> None:
    """Raises ValueError, before anything is measured or drawn, unless the suffix is that of PNG or SVG.

    Raises:
        ValueError: If the suffix is another one.
    """
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"pictures are written as .png or .svg, got {str(path)!r}: rename it")


def write_figure(path: str | Path, figure: Figure) -> None:
    """Writes the figure as PNG or SVG, by the suffix of ``path``.

    Raises:
        ValueError: If the suffix is another one.
        OutputError: If something stands there that modicum did not write; it is left as it is.
    """
    check_figure_name(path)
    is_png = Path(path).suffix.lower() == ".png"
    write_output(path, figure_to_png(figure) if is_png else figure_to_svg(figure))
