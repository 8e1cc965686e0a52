"""A table as it was read, from a file or from memory: the one place that knows files of tables."""

# N rows
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.csv_files import CsvForm, CsvRows, csv_content, number_text, read_csv
from modicum.graphs.recipe import TABLE_SUFFIXES, TableOptions
from modicum.storage.errors import DataError, MissingExtraError, first_few

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column, and where they come from.

    Attributes:
        columns: (N,) objects by name, in the order of the file; texts without surrounding blanks, or typed values.
        num_rows: N.
        decimal: Decimal mark of numbers among texts.
        lines: Of a CSV file, the number of the line where each row begins.
        rows: Of a CSV file, all as it stands.
        frame: Of Parquet and data frames, all as it was, with its index.
        eps: By name, the spacing of numbers around 1 of columns in less than double precision.
    """

    columns: Mapping[str, NDArray[Any]]
    num_rows: int
    decimal: str = "."
    lines: Sequence[int] | None = None
    rows: CsvRows | None = None
    frame: "DataFrame | None" = None
    eps: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.columns)

    def place(self, row: int) -> str:
        """Returns where a row, counted from 0, is found: "line 7" of a file of lines, else "row 6"."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def suffix(self) -> str:
        """Returns the suffix of a file of this form."""
        if self.frame is not None:
            return ".parquet"
        form = self.form
        return (".tsv" if form.separator == "\t" else ".csv") + (".gz" if form.is_zipped else "")

    @property
    def form(self) -> CsvForm:
        """Returns how a CSV file of this table is written."""
        return CsvForm() if self.rows is None else self.rows.form

    def head(self, count: int) -> bytes:
        """Returns the first rows as CSV."""
        return self._csv_with({}, count)

    def content_with(self, added: Mapping[str, NDArray[Any]]) -> bytes:
        """Returns a file in the form of this table with columns added, (N,) each; None and NaN are empty cells."""
        added = {self._new_name(name): cells for name, cells in added.items()}
        if self.frame is None:
            return self._csv_with(added, self.num_rows)
        content: bytes = self.frame.assign(**added).to_parquet()
        return content

    def _csv_with(self, added: Mapping[str, NDArray[Any]], count: int) -> bytes:
        form = self.form
        if self.rows is not None:
            own = [list(row) for row in self.rows.rows[:count]]
        else:
            shown = [_shown(cells[:count], form) for cells in self.columns.values()]
            own = [list(row) for row in zip(*shown, strict=True)]
        new = [_shown(cells[:count], form) for cells in added.values()]
        rows = [[*row, *(cells[place] for cells in new)] for place, row in enumerate(own)]
        return csv_content(form, [*self.columns, *added], rows)

    def _new_name(self, name: str) -> str:
        number, candidate = 1, name
        while candidate in self.columns:
            number += 1
            candidate = f"{name} {number}"
        return candidate


def is_table_name(name: str) -> bool:
    """Tells whether a file of this name counts as a table."""
    return name.lower().endswith(TABLE_SUFFIXES) and not name.startswith(".")


def read_table(path: str | Path, options: TableOptions | None = None) -> Table:
    """Reads a CSV or Parquet file; index levels with names are columns.

    Args:
        path: The file. CSV may be compressed with gzip.
        options: Separator, decimal mark and encoding where they are not to be told by the file.

    Raises:
        DataError: If the file is missing, unreadable, empty, names a column twice, or has rows of unequal length.
        MissingExtraError: If what Parquet is read with is not installed.
    """
    path, options = Path(path).expanduser(), options or TableOptions()
    if not path.exists():
        raise DataError(f"{path} does not exist: give a table ({' '.join(TABLE_SUFFIXES)})")
    if not path.is_file():
        raise DataError(f"{path} is no regular file: give a table ({' '.join(TABLE_SUFFIXES)})")
    if not is_table_name(path.name):
        raise DataError(f"{path} is no table: its name should end in one of {' '.join(TABLE_SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        table = frame_table(_read_parquet(path), str(path))
    else:
        table = _csv_table(read_csv(path, separator=options.mark, decimal=options.decimal, encoding=options.encoding))
    if not table.num_rows:
        raise DataError(f"{path} holds no rows")
    return table


def as_table(source: "Table | DataFrame | Mapping[str, Any]") -> Table:
    """Returns the table of in-memory data: cells by name of column, such as a data frame.

    Raises:
        DataError: If columns are of unequal length, or two have one name.
    """
    if isinstance(source, Table):
        return source
    pandas = sys.modules.get("pandas")  # who has a data frame has imported it
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return frame_table(source, "the table")
    columns = {str(name): _objects(cells) for name, cells in source.items()}
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns have {', '.join(map(str, sorted(lengths)))} cells: give as many in each")
    return Table(columns, max(lengths, default=0))


def frame_table(frame: "DataFrame", origin: str) -> Table:
    """Returns the table of a data frame; see `as_table`."""
    levels = [(name, number) for number, name in enumerate(frame.index.names) if name is not None]
    parts = [(str(name), frame.index.get_level_values(number)) for name, number in levels]
    parts += [(str(name), frame.iloc[:, place]) for place, name in enumerate(frame.columns)]
    named = [(name.strip(), part) for name, part in parts]
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{origin} has several columns of the name {first_few(twice)}: rename them")
    columns = {name: np.asarray(part.astype(object), dtype=object) for name, part in named}
    eps = {name: found for name, part in named if (found := _eps(part.dtype)) > np.finfo(np.float64).eps}
    return Table(columns, len(frame), frame=frame, eps=eps)


def _eps(dtype: Any) -> float:  # noqa: ANN401  of NumPy or pandas
    return float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0


def _csv_table(found: CsvRows) -> Table:
    cells = ([cell.strip() for cell in column] for column in zip(*found.rows, strict=True))
    columns = {name: _objects(column) for name, column in zip(found.names, cells, strict=False)}
    return Table(columns, len(found.rows), found.form.decimal, found.lines, found)


def _read_parquet(path: Path) -> "DataFrame":
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", "graphs") from error
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtraError("pyarrow", "graphs") from error
    except (
        ValueError,
        OSError,
        TypeError,
        KeyError,
        NotImplementedError,
    ) as error:  # pyarrow derives its own from these
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read as a table: {reason}") from error


def _objects(cells: Any) -> NDArray[Any]:  # noqa: ANN401  a list, an array, a series
    listed = list(cells)
    return np.fromiter(listed, dtype=object, count=len(listed))  # np.array would make lists in cells a second axis


def _shown(cells: NDArray[Any], form: CsvForm) -> list[str]:
    return [_shown_cell(cell, form) for cell in cells.tolist()]


def _shown_cell(cell: object, form: CsvForm) -> str:
    if cell is None or str(cell) in ("nan", "<NA>", "NaT"):
        return ""
    return number_text(cell, form) if isinstance(cell, float) else str(cell)
