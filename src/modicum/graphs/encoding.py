"""Turns the columns of a table into the inputs of a graph, and its outputs into answers; kept with trained graphs.

One policy for cells that say nothing or nothing known holds here, in exported C and Python, and for ONNX:

- An empty cell, None, NaN, NA or a declared missing word is missing. So is, among numbers, a text that is no number.
- A missing number is taken as the mean of the training rows, a missing text as a category of its own, where training
  met missing cells in that column. Where it met none, the row gets no answer.
- A text that training never saw, and an infinite number, give the row no answer.
- Columns that the graph does not read are not looked at.
"""

# N rows, F features: inputs of the graph
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array
from modicum.graphs.cells import Cells, Sort, read_cells
from modicum.graphs.table import Table, as_table
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few
from modicum.storage.files import JSON

if TYPE_CHECKING:
    from pandas import DataFrame

MISSING = "missing"
"""The category of cells that are empty."""
_NAMED_CELLS = 3  # of a message


@dataclass(frozen=True)
class Column:
    """A column of a table, as inputs of a graph.

    Attributes:
        name: As the table has it.
        categories: What its cells may say, sorted; None for a column of numbers or dates.
        fill: What a missing number is taken as; None gives no answer for the row.
        is_date: Whether the numbers are days since 1970-01-01.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | None = None
    is_date: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Names of its inputs: its own, or ``name=category`` for each category, of two the second alone."""
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.shown_categories)

    @property
    def shown_categories(self) -> tuple[str, ...]:
        """The categories that have an input of their own: of two, the first is where the second's is 0."""
        categories = self.categories or ()
        return categories[1:] if len(categories) == 2 else categories

    def encode(self, cells: Cells) -> "EncodedColumn":
        """Returns the inputs of cells (N,), and which of these could not be used."""
        return self._encode_numbers(cells) if self.categories is None else self._encode_categories(cells)

    def has_number(self, cells: Cells) -> NDArray[np.bool_]:
        """Tells which cells hold what a column of numbers, or of dates, takes, (N,)."""
        if not self.is_date:
            return cells.are(Sort.NUMBER, Sort.PADDED)
        is_typed = np.array([not isinstance(cell, str) for cell in cells.raw], dtype=bool)  # days, as exports take them
        found: NDArray[np.bool_] = cells.are(Sort.DATE) | (cells.are(Sort.NUMBER) & is_typed)
        return found

    def _encode_numbers(self, cells: Cells) -> "EncodedColumn":
        is_known, is_infinite = self.has_number(cells), cells.are(Sort.INFINITE)
        is_missing = ~is_known & ~is_infinite
        is_odd = is_missing & ~cells.are(Sort.EMPTY)
        numbers = np.where(is_known, cells.values, 0.0 if self.fill is None else self.fill)
        is_bad = is_infinite | (is_missing if self.fill is None else False)
        return EncodedColumn(numbers[:, None], is_bad, is_odd)

    def _encode_categories(self, cells: Cells) -> "EncodedColumn":
        assert self.categories is not None
        texts = category_texts(cells)
        inputs = np.stack([texts == category for category in self.shown_categories], axis=1).astype(np.float64)
        return EncodedColumn(
            inputs, ~np.isin(texts, np.array(self.categories, dtype=object)), np.zeros(len(cells), bool)
        )


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """The inputs of a column.

    Attributes:
        inputs: (N, features).
        is_bad: Which cells give no answer for their row, (N,).
        is_odd: Which cells hold a text that is no number in a column of numbers, (N,).
    """

    inputs: Array
    is_bad: NDArray[np.bool_]
    is_odd: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """The rows of a table as inputs of a graph.

    Attributes:
        inputs: (N, F); whatever stands in rows that are not usable is finite.
        is_usable: Which rows can be answered, (N,).
        problems: Why others cannot, one line for each column.
        notes: Which cells were taken as missing though they are not empty, one line for each column.
    """

    inputs: Array
    is_usable: NDArray[np.bool_]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Encoding:
    """What goes into a graph and what comes out of it.

    Attributes:
        columns: Of the table that it takes, in the order of its inputs.
        target: What its output is called.
        classes: Names of the classes, one output each; empty where the output is a number.
        missing_words: Texts that count as empty cells.
        is_date: Whether the target is a date, in days since 1970-01-01.
    """

    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...] = ()
    missing_words: tuple[str, ...] = ()
    is_date: bool = False

    @classmethod
    def of_numbers(cls, names: Sequence[str], target: str) -> Self:
        """Returns the encoding of columns that hold only numbers and are never empty."""
        return cls(tuple(Column(name) for name in names), target)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuilds an encoding from the result of `to_json`."""
        columns = tuple(
            Column(
                entry["name"],
                None if entry["categories"] is None else tuple(entry["categories"]),
                entry["fill"],
                bool(entry.get("is_date", False)),  # files of before 0.3 know no dates
            )
            for entry in plain["columns"]
        )
        words = tuple(plain.get("missing_words", ()))
        return cls(columns, plain["target"], tuple(plain["classes"]), words, bool(plain.get("is_date", False)))

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON."""
        return asdict(self)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs of the graph, (F,)."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the inputs in formulas, (F,); those that would be read as more than a name stand in brackets."""
        return tuple(name if name.isidentifier() else f"[{name}]" for name in self.features)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of the graph."""
        return tuple(f"{self.target}={name}" for name in self.classes) if self.classes else (self.target,)

    def read(
        self, source: "Table | DataFrame | Mapping[str, Any]", used: NDArray[np.bool_] | None = None
    ) -> EncodedRows:
        """Reads the rows of a table by the policy of this module.

        Args:
            source: A table, or cells by name of column, such as a data frame; other columns do no harm.
            used: Inputs (F,) that a graph reads; columns without any are not looked at, and their inputs are 0. None
                for all.

        Raises:
            DataError: If a column is missing, or most cells of a column of numbers are none.
        """
        table, needed = as_table(source), self.read_columns(used)
        names = [column.name for column in needed]
        if missing := [name for name in names if name not in table.columns]:
            raise DataError(f"the table has no column {first_few(missing)}: it needs {first_few(names, 20)}")
        inputs, is_usable = np.zeros((table.num_rows, len(self.features))), np.ones(table.num_rows, dtype=bool)
        problems: list[str] = []
        notes: list[str] = []
        place = 0
        for column in self.columns:
            if column in needed:
                cells = self.cells(table, column.name)
                found = column.encode(cells)
                _refuse_texts(column, cells, found, table)
                inputs[:, place : place + len(column.features)] = found.inputs
                is_usable &= ~found.is_bad
                problems += _problem(column, cells, found, table)
                notes += _odd_note(column, cells, found, table)
            place += len(column.features)
        return EncodedRows(inputs, is_usable, tuple(problems), tuple(notes))

    def encode(self, source: "Table | DataFrame | Mapping[str, Any]", used: NDArray[np.bool_] | None = None) -> Array:
        """Returns the inputs (N, F) of a table whose rows can all be answered.

        Raises:
            DataError: If one cannot, and as `read` does.
        """
        found = self.read(source, used)
        if found.problems:
            raise DataError("; ".join(found.problems))
        return found.inputs

    def read_columns(self, used: NDArray[np.bool_] | None) -> tuple[Column, ...]:
        """Returns the columns with at least one used input (F,); all columns for None."""
        if used is None:
            return self.columns
        ends = np.cumsum([len(column.features) for column in self.columns])
        parts = np.split(used, ends[:-1])
        return tuple(column for column, part in zip(self.columns, parts, strict=True) if part.any())

    def cells(self, table: Table, name: str) -> Cells:
        """Returns the cells of a column as this encoding reads them."""
        return read_cells(table.columns[name], decimal=table.decimal, missing_words=self.missing_words)

    def encode_target(self, cells: Cells) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Returns what the output should be, and where the cells (N,) say so.

        Returns:
            Numbers (N,), or the number of each row's class, (N,) int64; and which rows have one of these, (N,).
        """
        if not self.classes:
            column = Column(self.target, is_date=self.is_date)
            is_known = column.has_number(cells)
            return np.where(is_known, cells.values, 0.0), is_known
        numbers = {name: number for number, name in enumerate(self.classes)}
        found = np.array([numbers.get(text, -1) for text in category_texts(cells)], dtype=np.int64)
        return np.maximum(found, 0), found >= 0


def category_texts(cells: Cells) -> NDArray[Any]:
    """Returns cells (N,) as the categories that they name, `MISSING` for empty cells."""
    texts = cells.texts()
    texts[cells.are(Sort.EMPTY)] = MISSING
    return texts


def named_cells(cells: Cells, chosen: NDArray[np.bool_], table: Table, rows: NDArray[np.int64] | None = None) -> str:
    """Returns the first of some cells with their places, such as "'?' in line 7"; ``rows`` are their rows' numbers."""
    places = np.flatnonzero(chosen)
    shown = [
        f"{str(cells.raw[place])!r} in {table.place(int(place if rows is None else rows[place]))}"
        for place in places[:_NAMED_CELLS]
    ]
    rest = len(places) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _refuse_texts(column: Column, cells: Cells, found: EncodedColumn, table: Table) -> None:
    """Raises DataError if most cells of a column of numbers or dates hold something else."""
    told = len(cells) - cells.count(Sort.EMPTY, Sort.WORD)
    is_text = found.is_odd & ~cells.are(Sort.WORD)
    if 2 * int(is_text.sum()) > told:
        kind = "dates" if column.is_date else "numbers"
        raise DataError(
            f"column {column.name!r} should hold {kind}, but most of its cells do not: "
            f"{named_cells(cells, is_text, table)}"
        )


def _problem(column: Column, cells: Cells, found: EncodedColumn, table: Table) -> list[str]:
    count = int(found.is_bad.sum())
    if not count:
        return []
    is_empty = found.is_bad & cells.are(Sort.EMPTY)
    reasons = []
    if is_empty.any():
        first = table.place(int(np.argmax(is_empty)))
        reasons.append(f"{counted(int(is_empty.sum()), 'empty cell')}, from {first} on, where training had none")
    if (rest := found.is_bad & ~is_empty).any():
        known = f"which training never saw: it knows {first_few(column.categories or ())}"
        why = "which is no finite number" if column.categories is None else known
        reasons.append(f"{named_cells(cells, rest, table)}, {why}")
    return [f"column {column.name!r} cannot be used in {counted(count, 'row')}: {'; '.join(reasons)}"]


def _odd_note(column: Column, cells: Cells, found: EncodedColumn, table: Table) -> list[str]:
    is_odd = found.is_odd & ~found.is_bad
    if not is_odd.any():
        return []
    count = counted(int(is_odd.sum()), "cell")
    return [f"column {column.name!r} has {count} without a number, taken as empty: {named_cells(cells, is_odd, table)}"]
