"""Decides once, at training, what the cells of a column are: numbers, dates, categories, or nothing usable."""

# N rows
import json
import re
import shlex
from collections.abc import Sequence
from typing import Literal

import numpy as np

from modicum.graphs.cells import Cells, Sort
from modicum.graphs.encoding import named_cells
from modicum.graphs.table import Table
from modicum.storage.counting import counted
from modicum.storage.errors import DataError

MOSTLY = 0.8  # share of numbers among the cells that say something, from which the others count as missing
ROUNDING = 1e-12  # spread of a column, as a share of its largest number, up to which it is constant
FEW_STEPS = 16  # the same in steps of a coarser precision

Kind = Literal["numbers", "dates", "categories"]
_SIMPLE_NAME = re.compile(r"[^,\[\]{}\"']+")


class UnusableColumnError(DataError):
    """A column cannot be an input; the message is the reason without the column's name."""


def decide_kind(name: str, cells: Cells, table: Table, categories: Sequence[str] = ()) -> Kind:
    """Decides what a column holds.

    A column whose cells are mostly numbers is one of numbers, likewise of dates. Words such as NA or ? do not count
    against numbers, and 01 counts as a number only where every cell that says something is one.

    Args:
        name: Of the column.
        cells: Of the column.
        table: Where they are from, for messages.
        categories: Names of columns that are categories whatever they hold.

    Raises:
        UnusableColumnError: If the cells are lists or the like, or no kind clearly prevails.
    """
    if cells.count(Sort.STRUCTURE):
        first = cells.raw[int(np.argmax(cells.are(Sort.STRUCTURE)))]
        kind = "lists" if isinstance(first, list | tuple | np.ndarray) else f"values of the type {type(first).__name__}"
        raise UnusableColumnError(f"holds {kind}")
    told = len(cells) - cells.count(Sort.EMPTY, Sort.WORD)
    if name in categories or not told:
        return "categories"
    numbers, padded = cells.count(Sort.NUMBER, Sort.INFINITE), cells.count(Sort.PADDED)
    if numbers + padded == told:
        return "numbers"
    dates = cells.count(Sort.DATE)
    if numbers >= MOSTLY * told:
        return "numbers"
    if dates >= MOSTLY * told:
        return "dates"
    if cells.count(Sort.UNCLEAR_DATE) > told / 2:
        example = named_cells(cells, cells.are(Sort.UNCLEAR_DATE), table)
        raise UnusableColumnError(f"holds dates in a form that is not clear ({example}): write them as 2026-01-31")
    marked = cells.are(Sort.MARKED_NUMBER)
    if marked.any() and numbers + padded + marked.sum() > told / 2:
        raise UnusableColumnError(
            f"holds numbers with marks that are not read ({named_cells(cells, marked, table)}): write them as 1050.5, "
            f"name the decimal mark where it is the comma, or take all as categories by "
            f"{flag('table.categories', [name])}"
        )
    if max(numbers, dates) > told / 2:
        kept = (Sort.NUMBER, Sort.INFINITE) if numbers > dates else (Sort.DATE,)
        others = ~cells.are(Sort.EMPTY, Sort.WORD, *kept)
        found = counted(max(numbers, dates), "number" if numbers > dates else "date")
        raise UnusableColumnError(
            f"holds {found} and {counted(int(others.sum()), 'other text')} ({named_cells(cells, others, table)}): mend "
            f"these, make them empty cells by {flag('table.missing_words', _texts(cells, others))}, or take all as "
            f"categories by {flag('table.categories', [name])}"
        )
    return "categories"


def is_constant(values: "np.ndarray", eps: float = 0.0) -> bool:
    """Tells whether numbers (N,) are equal up to rounding.

    Args:
        values: Finite numbers.
        eps: Spacing of numbers around 1 where they were kept in less than double precision.
    """
    if not len(values):
        return True
    return bool(np.ptp(values) <= max(ROUNDING, FEW_STEPS * eps) * np.abs(values).max())


def flag(option: str, names: Sequence[str]) -> str:
    """Formats a flag with a list of texts, ready to be pasted into a shell: ``--table.ignore 'id,first name'``."""
    plain = ",".join(names) if all(map(_is_simple, names)) else json.dumps(list(names), ensure_ascii=False)
    return f"--{option} {shlex.quote(plain)}"


def _is_simple(name: str) -> bool:
    return bool(_SIMPLE_NAME.fullmatch(name)) and name == name.strip() and not name.startswith("-")


def _texts(cells: Cells, chosen: "np.ndarray") -> list[str]:
    return sorted({str(cell) for cell in cells.raw[chosen]})[:10]
