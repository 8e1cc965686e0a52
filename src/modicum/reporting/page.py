"""The page of a report: one HTML file that needs nothing else."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from modicum.reporting.embedding import EmbeddedPlot, data_uri, embed_plot
from modicum.reporting.plots import draw_learning
from modicum.reporting.plots.drawing import THEME
from modicum.reporting.plots.learning import has_curves
from modicum.reporting.report import Block, Plot, Report
from modicum.storage.names import printable
from modicum.storage.outputs import write_output
from modicum.storage.runs import RunFolder

_LEARNING = "Stages in the order of training. Lines of many steps show means over neighbouring ones."


def write_page(run: RunFolder, report: Report, facts: Mapping[str, str]) -> None:
    """Writes ``report.html`` of a run, atomically.

    Args:
        run: The run folder; its command, versions, recipe and training logs are shown.
        report: What to show.
        facts: What a reader wants to know of the recipe, by name.
    """
    start = run.read_state().starts[0]
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            run=run.path.resolve().name,
            report=report,
            facts=facts,
            learning=_learning(run.read_metrics()),
            command=start.command,
            versions=start.versions,
            recipe_text=run.recipe.read_text(encoding="utf-8"),
            theme={name: colour for colour, name in THEME.items()},
        )
    )
    write_output(run.report, printable(html, keep="\t\n\r"))  # names may hold what no encoding has


def _learning(rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Returns the plot of a training's log; None if the log has nothing to draw."""
    return Plot(lambda width: draw_learning(rows, width_in=width), _LEARNING) if has_curves(rows) else None


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("modicum.reporting"),
        autoescape=True,  # class names, facts and recipes are the user's words
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "data_uri": data_uri,
        "embed": _embed,
        "emphasise": _emphasise,
        "kind": _kind,
        "unbroken": _keep_unbroken,
    }
    return made


def _kind(block: Block) -> str:
    """Returns the name by which the template chooses how to show a block."""
    return type(block).__name__


def _embed(plot: Plot, name: str) -> EmbeddedPlot:
    return embed_plot(plot.draw, name, plot.description or plot.caption)


def _keep_unbroken(text: str) -> str:
    """Returns the text with each number kept on one line with its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _emphasise(text: str) -> Markup:
    """Returns the text with its percentages and decibels in bold and unbroken."""
    emphasised = re.sub(r"\d+(\.\d+)? (%|dB)", r"<b>\g<0></b>", str(escape(text)))
    return Markup(emphasised)
