"""A report of any task: a headline, and sections of tables, plots and pictures, as one HTML page or in a terminal.

Adaptive classifiers have a page of their own (`modicum.reporting.page`), because theirs follows one curve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from modicum.reporting.embedding import Plot, data_uri, embed_plot
from modicum.reporting.plots import draw_learning
from modicum.reporting.plots.drawing import THEME
from modicum.reporting.plots.learning import has_curves
from modicum.reporting.templating import environment
from modicum.storage.files import JSON, read_jsonl, write_atomically
from modicum.storage.runs import RunFolder


@dataclass(frozen=True)
class SheetRow:
    """One row of a table.

    Attributes:
        cells: As they are printed, one per column.
        is_ours: Whether it is what the report is about, not a baseline.
    """

    cells: tuple[str, ...]
    is_ours: bool = False


@dataclass(frozen=True)
class SheetPicture:
    """A picture and what stands below it."""

    image: Image.Image
    caption: str


@dataclass(frozen=True)
class Strip:
    """Pictures that are looked at side by side, such as an input and what was made of it."""

    title: str
    pictures: tuple[SheetPicture, ...]


@dataclass(frozen=True)
class SheetSection:
    """A part of a report; whatever it has not is left out.

    Attributes:
        title: What a reader calls it.
        columns: Heads of the table.
        rows: Its rows.
        note: How to read it, in a sentence or two.
        draw: Draws the plot at a width in inches.
        caption: What stands below the plot, and what those are told who do not see it.
        strips: Pictures, below table and plot.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[SheetRow, ...] = ()
    note: str = ""
    draw: Callable[[float], Figure] | None = None
    caption: str = ""
    strips: tuple[Strip, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A report.

    Attributes:
        system: Id of the system.
        headline: The result in a sentence; percentages and decibels are emphasised.
        data: One line on what it was measured on.
        sections: Its parts, in order.
        figures: Every figure in it, as plain data.
    """

    system: str
    headline: str
    data: str
    sections: tuple[SheetSection, ...]
    figures: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """Its figures as plain data, with the headline."""
        return {"system": self.system, "data": self.data, "headline": self.headline, **self.figures}


def write_sheet(run: RunFolder, sheet: Sheet, facts: Mapping[str, str]) -> None:
    """Writes ``report.html`` of a run, atomically, as one file that needs nothing else.

    Args:
        run: The run folder; its command, versions, recipe and training logs are shown.
        sheet: What to report.
        facts: What a reader wants to know of the recipe, by name.
    """
    start = run.read_state().starts[0]
    rows = read_jsonl(run.metrics) if run.metrics.exists() else []  # a run may need no training
    learning = "Loss and figures over the steps of each stage of the training."
    html = (
        environment()
        .get_template("sheet.html.jinja")
        .render(
            run=run.path.resolve().name,
            sheet=sheet,
            sections=[_for_page(section, number) for number, section in enumerate(sheet.sections)],
            facts=facts,
            learning=embed_plot(lambda width: draw_learning(rows, width_in=width), "learning", learning)
            if has_curves(rows)
            else None,
            command=start.command,
            versions=start.versions,
            recipe_text=run.recipe.read_text(encoding="utf-8"),
            theme={name: colour for colour, name in THEME.items()},
        )
    )
    write_atomically(run.report, html)


def render_sheet(sheet: Sheet) -> list[RenderableType]:
    """The tables of a report for the terminal, and its headline last."""
    parts: list[RenderableType] = []
    for section in sheet.sections:
        if section.rows:
            parts.append(_terminal_table(section))
        if section.rows and section.note:
            parts.append(escape(section.note))
    return [*parts, escape(sheet.headline)]


@dataclass(frozen=True)
class _PageSection:
    """A section as the page's template shows it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[SheetRow]
    note: str
    plot: Plot | None
    caption: str
    strips: Sequence[Mapping[str, Any]]


def _for_page(section: SheetSection, number: int) -> _PageSection:
    plot = embed_plot(section.draw, f"section-{number}", section.caption) if section.draw else None
    strips = [
        {
            "title": strip.title,
            "pictures": [{"source": data_uri(each.image, 512), "caption": each.caption} for each in strip.pictures],
        }
        for strip in section.strips
    ]
    return _PageSection(section.title, section.columns, section.rows, section.note, plot, section.caption, strips)


def _terminal_table(section: SheetSection) -> Table:
    table = Table(title=escape(section.title), title_justify="left")
    for number, name in enumerate(section.columns):
        table.add_column(escape(name), justify="right" if number else "left")
    for row in section.rows:
        table.add_row(*(escape(cell) for cell in row.cells), style="bold" if row.is_ours else None)
    return table
