"""Plots of results, drawn with matplotlib's objects alone: no display is needed and no global figure is kept."""

from modicum.reporting.plots.comparison import Entry, draw_comparison, write_comparison
from modicum.reporting.plots.curve import draw_curve
from modicum.reporting.plots.drawing import (
    NARROW_IN,
    WIDE_IN,
    check_figure_name,
    figure_to_png,
    figure_to_svg,
    write_figure,
)
from modicum.reporting.plots.efficiency import draw_efficiency
from modicum.reporting.plots.explanation import draw_explanation
from modicum.reporting.plots.learning import draw_learning
from modicum.reporting.plots.routes import draw_routes

__all__ = [
    "NARROW_IN",
    "WIDE_IN",
    "Entry",
    "check_figure_name",
    "draw_comparison",
    "draw_curve",
    "draw_efficiency",
    "draw_explanation",
    "draw_learning",
    "draw_routes",
    "figure_to_png",
    "figure_to_svg",
    "write_comparison",
    "write_figure",
]
