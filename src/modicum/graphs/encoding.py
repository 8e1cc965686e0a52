"""How the columns of a table become the inputs of a graph, and what its outputs mean; kept with every trained graph."""

# N rows, F features: inputs of the graph
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array
from modicum.storage.errors import DataError, first_few
from modicum.storage.files import JSON

MISSING = "missing"
"""The category of cells that are empty."""


@dataclass(frozen=True)
class Column:
    """A column of a table, as inputs of a graph.

    Attributes:
        name: As the table has it.
        categories: What its cells may say, sorted; None for a column of numbers.
        fill: What an empty cell of numbers is taken as; None refuses empty cells.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | None = None

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

    def encode(self, cells: NDArray[Any]) -> Array:
        """Cells (N,) as inputs (N, features).

        Raises:
            DataError: If a cell is empty where training met none, infinite, no number, or of an unknown category.
        """
        return self._encode_numbers(cells) if self.categories is None else self._encode_categories(cells)

    def _encode_numbers(self, cells: NDArray[Any]) -> Array:
        numbers = as_numbers(self.name, cells)
        empty = np.isnan(numbers)
        if empty.any():
            if self.fill is None:
                raise DataError(
                    f"column {self.name!r} is empty in row {int(np.argmax(empty)) + 1}, which no row of the training "
                    "data was: fill it, or train with rows that lack it, too"
                )
            numbers = np.where(empty, self.fill, numbers)
        return numbers[:, None]

    def _encode_categories(self, cells: NDArray[Any]) -> Array:
        texts = as_categories(cells)
        assert self.categories is not None
        if unknown := sorted(set(texts) - set(self.categories)):
            raise DataError(
                f"column {self.name!r} says {first_few(unknown)}, which training never saw: it knows "
                f"{first_few(self.categories)}"
            )
        found = np.array(texts, dtype=object)
        return np.stack([found == category for category in self.shown_categories], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Encoding:
    """What goes into a graph and what comes out of it.

    Attributes:
        columns: Of the table that it takes, in the order of its inputs.
        target: What its output is called.
        classes: Names of the classes, one output each; empty where the output is a number.
    """

    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...] = ()

    @classmethod
    def of_numbers(cls, names: Sequence[str], target: str) -> Self:
        """Columns of numbers alone, none of them ever empty."""
        return cls(tuple(Column(name) for name in names), target)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        columns = tuple(
            Column(entry["name"], None if entry["categories"] is None else tuple(entry["categories"]), entry["fill"])
            for entry in plain["columns"]
        )
        return cls(columns, plain["target"], tuple(plain["classes"]))

    def to_json(self) -> dict[str, JSON]:
        """Plain data, for JSON."""
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

    def encode(self, table: Mapping[str, Any], used: NDArray[np.bool_] | None = None) -> Array:
        """The inputs (N, F) of the rows of a table.

        Args:
            table: Cells by name of column, such as a pandas data frame; columns that are not needed do no harm.
            used: Inputs (F,) that a graph reads; columns without any are not looked at, and their inputs are 0. None
                for all.

        Raises:
            DataError: If a column is missing, or a cell cannot be used; see `Column.encode`.
        """
        needed = [column for column in self.columns if used is None or self._is_used(column, used)]
        needed = needed or list(self.columns[:1])  # which tells the number of rows
        names = [column.name for column in needed]
        if missing := [name for name in names if name not in table]:
            raise DataError(f"the table has no column {first_few(missing)}: it needs {first_few(names, 20)}")
        encoded = {column.name: column.encode(np.asarray(table[column.name])) for column in needed}
        num_rows = len(encoded[names[0]])
        blank = {column.name: np.zeros((num_rows, len(column.features))) for column in self.columns}
        return np.concatenate(list((blank | encoded).values()), axis=1)

    def _is_used(self, column: Column, used: NDArray[np.bool_]) -> bool:
        first = sum(len(other.features) for other in self.columns[: self.columns.index(column)])
        return bool(used[first : first + len(column.features)].any())

    def encode_target(self, cells: NDArray[Any]) -> NDArray[Any]:
        """What the output should be: numbers (N,), or the number of each row's class, (N,) int64.

        Raises:
            DataError: If a cell is empty, no number, or of an unknown class.
        """
        if not self.classes:
            return Column(self.target).encode(cells)[:, 0]
        texts = as_categories(cells)
        if unknown := sorted(set(texts) - set(self.classes)):
            raise DataError(f"{self.target!r} says {first_few(unknown)}: its classes are {first_few(self.classes)}")
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[text] for text in texts], dtype=np.int64)


def as_numbers(name: str, cells: NDArray[Any]) -> Array:
    """Cells (N,) as numbers; empty ones are NaN.

    Raises:
        DataError: If a cell is something else, or infinite; the message has the first such row, counted from 1.
    """
    try:
        numbers = np.array([np.nan if _is_empty(cell) else float(cell) for cell in cells.tolist()], dtype=np.float64)
    except (TypeError, ValueError):
        row, cell = next((row, cell) for row, cell in enumerate(cells.tolist(), start=1) if not _is_number(cell))
        raise DataError(f"column {name!r} should hold numbers, but row {row} says {str(cell)!r}") from None
    if np.isinf(numbers).any():
        raise DataError(f"column {name!r} is infinite in row {int(np.argmax(np.isinf(numbers))) + 1}: remove that row")
    return numbers


def as_categories(cells: NDArray[Any]) -> list[str]:
    """Cells (N,) as texts; whole numbers without a decimal point, empty ones as `MISSING`."""
    return [_as_category(cell) for cell in cells.tolist()]


def _as_category(cell: object) -> str:
    if _is_empty(cell):
        return MISSING
    if isinstance(cell, float) and cell.is_integer():  # a column of codes with an empty cell is read as decimals
        return str(int(cell))
    return str(cell)


def _is_empty(cell: object) -> bool:
    return cell is None or cell != cell or cell == ""


def _is_number(cell: Any) -> bool:  # noqa: ANN401  whatever a cell holds
    try:
        float(0 if _is_empty(cell) else cell)
    except (TypeError, ValueError):
        return False
    return True
