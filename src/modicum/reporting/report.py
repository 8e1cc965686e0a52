"""A report of any task: a headline, and sections of tables, plots and pictures, as one HTML page or in a terminal.

Adaptive classifiers have a page of their own (`modicum.classify.report`), because theirs follows one curve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from rich.console import RenderableType
from rich.table import Table

from modicum.reporting.embedding import Plot, data_uri, embed_plot
from modicum.reporting.plots import draw_learning
from modicum.reporting.plots.drawing import THEME
from modicum.reporting.plots.learning import has_curves
from modicum.reporting.templating import render_page
from modicum.reporting.terminal import shown
from modicum.storage.errors import DataError, RunError
from modicum.storage.files import JSON
from modicum.storage.outputs import write_output
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed


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
        """Figures and tables as plain data; plots and pictures are left out."""
        tables: list[JSON] = [
            {
                "title": section.title,
                "note": section.note,
                "columns": list(section.columns),
                "rows": [{"cells": list(row.cells), "is_ours": row.is_ours} for row in section.rows],
            }
            for section in self.sections
            if section.rows
        ]
        words: dict[str, JSON] = {"system": self.system, "headline": self.headline, "data": self.data}
        return {**words, "tables": tables, "figures": dict(self.figures)}

    def render(self) -> list[RenderableType]:
        """Returns what a terminal shows: the tables, and the headline last."""
        parts: list[RenderableType] = []
        for section in self.sections:
            if section.rows:
                parts.append(_terminal_table(section))
            if section.rows and section.note:
                parts.append(shown(section.note))
        return [*parts, shown(self.headline)]


def read_sheet(run: RunFolder) -> Sheet:
    """What the last evaluation of a run left in ``figures.json``: the sheet without its plots and pictures.

    Raises:
        RunError: If the run has not been evaluated.
        DataError: If the file is not one that modicum wrote.
    """
    if not run.figures.is_file():
        raise RunError(f"{run.path} has no {run.figures.name} yet: modicum evaluate {run.path}")
    raw = read_sealed(run.figures, remedy="evaluate the run again")
    try:
        sections = tuple(_read_section(table) for table in raw["tables"])
        return Sheet(raw["system"], raw["headline"], raw["data"], sections, raw["figures"])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{run.figures} is damaged ({type(error).__name__}: {error}): evaluate the run again"
        ) from error


def compare_sheets(sheets: Mapping[str, Sheet]) -> Sheet:
    """The results of several runs under one another, as far as their first tables have the same columns.

    Args:
        sheets: By name of the run, at least one. A baseline that is the same in all of them stands there once.

    Raises:
        DataError: If a run's table has other columns than the first one's.
    """
    names = list(sheets)
    tables = {name: sheet.sections[0] for name, sheet in sheets.items()}
    columns = tables[names[0]].columns
    for name, table in tables.items():
        if table.columns != columns:
            raise DataError(f"{name} reports {', '.join(table.columns)}, but {names[0]} {', '.join(columns)}")
    ours = [
        SheetRow((name, *row.cells[1:]), is_ours=True) for name in names for row in tables[name].rows if row.is_ours
    ]
    others = [(name, row) for name in names for row in tables[name].rows if not row.is_ours]
    shared = [row for row in tables[names[0]].rows if all(row in table.rows for table in tables.values())]
    theirs = [
        *(SheetRow((f"{name}: {row.cells[0]}", *row.cells[1:])) for name, row in others if row not in shared),
        *(row for row in shared if not row.is_ours),
    ]
    sets = {sheet.data for sheet in sheets.values()}
    note = "" if len(sets) == 1 else "The runs were tested on different data, so their figures do not compare."
    section = SheetSection(tables[names[0]].title, columns, (*ours, *theirs), note)
    figures = {name: sheet.to_json() for name, sheet in sheets.items()}
    return Sheet(
        sheets[names[0]].system, f"{len(names)} runs side by side", "; ".join(sorted(sets)), (section,), figures
    )


def _read_section(raw: Mapping[str, Any]) -> SheetSection:
    rows = tuple(SheetRow(tuple(row["cells"]), row["is_ours"]) for row in raw["rows"])
    return SheetSection(raw["title"], tuple(raw["columns"]), rows, raw["note"])


def keep_figures(run: RunFolder, sheet: Sheet) -> None:
    """Writes ``figures.json`` of a run, atomically; see `read_sheet`."""
    write_sealed(run.figures, sheet.to_json())


def write_sheet(run: RunFolder, sheet: Sheet, facts: Mapping[str, str]) -> None:
    """Writes ``report.html`` of a run, atomically, as one file that needs nothing else.

    Args:
        run: The run folder; its command, versions, recipe and training logs are shown.
        sheet: What to report.
        facts: What a reader wants to know of the recipe, by name.
    """
    start = run.read_state().starts[0]
    rows = run.read_metrics()
    learning = "Loss and figures over the steps of each stage of the training."
    html = render_page(
        "sheet.html.jinja",
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
    write_output(run.report, html)


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
    table = Table(title=shown(section.title), title_justify="left")
    for number, name in enumerate(section.columns):
        table.add_column(shown(name), justify="right" if number else "left", overflow="fold")
    for row in section.rows:
        table.add_row(*(shown(cell) for cell in row.cells), style="bold" if row.is_ours else None)
    return table
