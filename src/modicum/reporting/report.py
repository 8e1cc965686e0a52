"""A report of any task: sections of tables, plots, pictures and notes, shown as a page, in a terminal and as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import rich.table
from matplotlib.figure import Figure
from PIL import Image
from rich.console import RenderableType

from modicum.reporting.terminal import shown
from modicum.storage.files import JSON


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: As they are printed, one per column.
        is_ours: Whether it is what the report is about, not a baseline.
    """

    cells: tuple[str, ...]
    is_ours: bool = False


@dataclass(frozen=True)
class Table:
    """A table; left out where it has no rows.

    Attributes:
        columns: Heads of the columns.
        rows: What stands below.
        note: How to read it, in a sentence or two.
        fold: Words behind which a page folds the table away; such a table is shown nowhere else.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    fold: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        draw: Draws it at a width in inches.
        caption: What stands below it.
        description: Read to those who do not see it; the caption where it is empty.
    """

    draw: Callable[[float], Figure]
    caption: str
    description: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture and what stands below it."""

    image: Image.Image
    caption: str


@dataclass(frozen=True)
class Strip:
    """Pictures that are looked at side by side, such as an input and what was made of it."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Card:
    """A small picture of a gallery, and what the network made of it.

    Attributes:
        image: The picture.
        name: Its name, shown when it is pointed at.
        label: What is true of it.
        verdict: What the network said.
        is_right: Whether that is true.
        lines: More about it.
    """

    image: Image.Image
    name: str
    label: str
    verdict: str
    is_right: bool
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Small pictures in rows; left out where there are none."""

    cards: tuple[Card, ...]
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Values by name."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Note:
    """A paragraph; with ``fold``, behind these words."""

    text: str
    fold: str = ""


@dataclass(frozen=True)
class Findings:
    """Sentences that follow from the figures; a terminal shows them, too."""

    sentences: tuple[str, ...]


Block: TypeAlias = Table | Plot | Strip | Gallery | Facts | Note | Findings


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: What a reader calls it.
        blocks: What it shows, in order.
        intro: A paragraph before that.
    """

    title: str
    blocks: tuple[Block, ...]
    intro: str = ""

    @property
    def table(self) -> Table:
        """The first table, which comparisons are made of."""
        return next(block for block in self.blocks if isinstance(block, Table))


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        system: Id of the system.
        headline: The result in a sentence; percentages and decibels are emphasised.
        data: One line on what it was measured on.
        sections: Its parts, in order; those without blocks are left out.
        figures: Every figure in it, as plain data.
    """

    system: str
    headline: str
    data: str
    sections: tuple[Section, ...]
    figures: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """Returns figures and tables as plain data; plots and pictures are left out."""
        tables: list[JSON] = [
            {
                "title": section.title,
                "note": table.note,
                "columns": list(table.columns),
                "rows": [{"cells": list(row.cells), "is_ours": row.is_ours} for row in table.rows],
            }
            for section in self.sections
            for table in section.blocks
            if isinstance(table, Table) and table.rows and not table.fold
        ]
        words: dict[str, JSON] = {"system": self.system, "headline": self.headline, "data": self.data}
        return {**words, "tables": tables, "figures": dict(self.figures)}

    def render(self) -> list[RenderableType]:
        """Returns the lines for a terminal: tables with their notes, findings, and the headline last."""
        parts: list[RenderableType] = []
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Table) and block.rows and not block.fold:
                    parts += [_terminal_table(section.title, block), *([shown(block.note)] if block.note else [])]
                elif isinstance(block, Findings):
                    parts += map(shown, block.sentences)
        return [*parts, shown(self.headline)]


def _terminal_table(title: str, table: Table) -> rich.table.Table:
    drawn = rich.table.Table(title=shown(title), title_justify="left")
    for number, name in enumerate(table.columns):
        drawn.add_column(shown(name), justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(shown, row.cells), style="bold" if row.is_ours else None)
    return drawn
