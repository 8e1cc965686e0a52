"""Tables of users as points to fit: what each column is, what is left out, and why."""

# N rows
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.cells import Cells, Sort, read_cells
from modicum.graphs.column_kinds import Kind, UnusableColumnError, decide_kind, flag, is_constant
from modicum.graphs.encoding import MISSING, Column, Encoding, category_texts, named_cells
from modicum.graphs.problems import Samples
from modicum.graphs.recipe import TABLE_SUFFIXES, TableOptions
from modicum.graphs.table import Table, as_table, is_table_name, read_table
from modicum.imaging.files import expand_inputs, is_image_name, warn_of_left_out
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["LearnedTable", "expand_sources", "is_table_name", "learn_table", "read_table", "split_rows"]

MAX_CATEGORIES = 50  # more are names, not kinds: each would cost an input
MIN_ROWS = 10


@dataclass(frozen=True, eq=False)
class LearnedTable:
    """A table that was understood.

    Attributes:
        encoding: From its columns to inputs.
        samples: Its usable rows.
        rows: Their numbers in the table, from 0.
        notes: What was left out or filled, and why, one line each.
    """

    encoding: Encoding
    samples: Samples
    rows: NDArray[np.int64]
    notes: tuple[str, ...]

    def without_constants(self, rows: NDArray[np.int64]) -> "LearnedTable":
        """Returns the table without columns that are constant over ``rows``, the rows to fit.

        Raises:
            DataError: If no column is left.
        """
        ends = np.cumsum([len(column.features) for column in self.encoding.columns])
        parts = np.split(self.samples.inputs, ends[:-1], axis=1)
        same = [all(is_constant(values) for values in part[rows].T) for part in parts]
        gone = [column.name for column, is_same in zip(self.encoding.columns, same, strict=True) if is_same]
        if not gone:
            return self
        notes = (*self.notes, *(f"column {name!r} says the same in every training row: left out" for name in gone))
        if len(gone) == len(parts):
            raise DataError(f"no column is left to predict {self.encoding.target!r} from: {'; '.join(notes)}")
        kept = tuple(column for column in self.encoding.columns if column.name not in gone)
        inputs = np.concatenate([part for part, is_same in zip(parts, same, strict=True) if not is_same], axis=1)
        encoding, samples = replace(self.encoding, columns=kept), Samples(inputs, self.samples.targets)
        return LearnedTable(encoding, samples, self.rows, notes)


def expand_sources(inputs: Iterable[str | Path]) -> list[Path]:
    """Lists the files that a user means: files, tables and images of folders, and matches of glob patterns.

    Raises:
        DataError: If a folder or pattern holds none; a missing file is left to be reported as unreadable.
    """
    files: list[Path] = []
    for entry in inputs:
        if not Path(entry).is_dir():
            files += expand_inputs([entry])
            continue
        inside = [file for file in Path(entry).rglob("*") if not file.is_dir()]
        warn_of_left_out(Path(entry), inside)
        found = [file for file in inside if is_image_name(file.name) or is_table_name(file.name)]
        if not found:
            raise DataError(f"{entry} holds neither table nor image ({' '.join(TABLE_SUFFIXES)})")
        files += sorted(found)
    return files


def learn_table(source: "Table | DataFrame | Mapping[str, Any]", target: str, options: TableOptions) -> LearnedTable:
    """Learns what each column of a table is, and takes its rows as points.

    What a column is, `modicum.graphs.column_kinds.decide_kind` says; a target of texts makes classes. Columns that say
    the same everywhere are left out, as are rows without a target.

    Args:
        source: A table, or cells by name of column, such as a data frame.
        target: The column to predict.
        options: Which columns count, and what becomes of empty cells.

    Raises:
        DataError: If the target or a named column is missing, columns cannot be used, or nothing is left.
    """
    table = as_table(source)
    _check_names(table, [target, *options.ignore, *options.categories])
    return _Lesson(table, target, options).learn()


def split_rows(count: int, options: TableOptions, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Draws the row numbers of each part once: ``train``, ``validation`` and ``test``, each at least one row."""
    order = rng.permutation(count)
    sizes = {name: max(1, round(share * count)) for name, share in options.shares.items()}
    ends = np.cumsum(list(sizes.values()))
    parts = np.split(order, ends)
    return {"train": np.sort(parts[-1]), **{name: np.sort(part) for name, part in zip(sizes, parts, strict=False)}}


def _check_names(table: Table, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in table.columns]:
        raise DataError(f"the table has no column {first_few(missing)}: it has {first_few(table.names, 20)}")


class _Lesson:
    """One table being learned; the steps fill ``notes`` and ``unusable``."""

    def __init__(self, table: Table, target: str, options: TableOptions) -> None:
        self.table, self.target, self.options = table, target, options
        self.notes: list[str] = []
        self.unusable: dict[str, str] = {}  # reasons by name of column
        self.names = [name for name in table.names if name != target and name not in options.ignore]
        words = options.missing_words
        self.cells = {
            name: read_cells(table.columns[name], decimal=table.decimal, missing_words=words)
            for name in (*self.names, target)
        }

    def learn(self) -> LearnedTable:
        kinds = {name: kind for name in self.names if (kind := self._kind(name)) is not None}
        target_kind = self._target_kind()
        rows = self._rows(kinds, target_kind)
        if len(rows) < MIN_ROWS:
            counts = f"{counted(len(rows), 'usable row')} {'is' if len(rows) == 1 else 'are'}"
            raise DataError(f"{counts} too few to fit anything: it takes {MIN_ROWS}")
        columns = [self._column(name, kind, rows) for name, kind in kinds.items()]
        self._refuse_unusable()
        classes = self._classes(rows) if target_kind == "categories" else ()
        encoding = Encoding(
            tuple(column for column in columns if column is not None),
            self.target,
            classes,
            self.options.missing_words,
            target_kind == "dates",
        )
        return LearnedTable(encoding, self._samples(encoding, rows), rows, tuple(self.notes))

    def _kind(self, name: str) -> Kind | None:
        try:
            return decide_kind(name, self.cells[name], self.table, self.options.categories)
        except UnusableColumnError as error:
            self.unusable[name] = str(error)
            return None

    def _target_kind(self) -> Kind:
        try:
            return decide_kind(self.target, self.cells[self.target], self.table, self.options.categories)
        except UnusableColumnError as error:
            raise DataError(f"the target {self.target!r} {error}") from error

    def _rows(self, kinds: Mapping[str, Kind], target_kind: Kind) -> NDArray[np.int64]:
        """Returns the numbers of the rows to fit."""
        missing = self._missing(self.target, target_kind)
        if missing.any():
            odd = missing & ~self.cells[self.target].are(Sort.EMPTY)
            told = f" ({named_cells(self.cells[self.target], odd, self.table)})" if odd.any() else ""
            count = int(missing.sum())
            verb = "has" if count == 1 else "have"
            self.notes.append(f"{count:,} of {counted(len(missing), 'row')} {verb} no {self.target}{told}: left out")
        rows = np.flatnonzero(~missing)
        if self.options.missing == "drop":
            holes = np.zeros(len(missing), dtype=bool)
            for name, kind in kinds.items():
                holes |= self._missing(name, kind)
            if count := int(holes[rows].sum()):
                self.notes.append(f"{counted(count, 'row')} {'has' if count == 1 else 'have'} an empty cell: left out")
            rows = rows[~holes[rows]]
        return rows

    def _missing(self, name: str, kind: Kind) -> NDArray[np.bool_]:
        cells = self.cells[name]
        if kind == "categories":
            return cells.are(Sort.EMPTY)
        return ~Column(name, is_date=kind == "dates").has_number(cells) & ~cells.are(Sort.INFINITE)

    def _column(self, name: str, kind: Kind, rows: NDArray[np.int64]) -> Column | None:
        """Decides what a column holds; returns None and a note if it is useless."""
        missing = self._missing(name, kind)
        if missing[rows].any() and self.options.missing == "refuse":
            self._refuse_missing(name, missing, rows)
        learn = self._learn_categories if kind == "categories" else self._learn_numbers
        column = learn(name, self.cells[name].take(rows), missing[rows], rows, is_date=kind == "dates")
        if column is None and name not in self.unusable:
            self.notes.append(f"column {name!r} says the same in every row: left out")
        return column

    def _refuse_missing(self, name: str, missing: NDArray[np.bool_], rows: NDArray[np.int64]) -> None:
        places = rows[missing[rows]]
        raise DataError(
            f"column {name!r} has {counted(len(places), 'empty cell')}, {str(self.cells[name].raw[places[0]])!r} in "
            f"{self.table.place(int(places[0]))}: fill them, or choose --table.missing fill or drop"
        )

    def _learn_categories(
        self, name: str, cells: Cells, missing: NDArray[np.bool_], rows: NDArray[np.int64], *, is_date: bool
    ) -> Column | None:
        found = sorted(set(category_texts(cells)))
        if len(found) < 2:
            return None
        if len(found) > MAX_CATEGORIES:
            example = next(text for text in found if text != MISSING)
            self.unusable[name] = (
                f"holds {len(found):,} different texts such as {example!r}, more than {MAX_CATEGORIES}"
            )
            return None
        if count := int(missing.sum()):
            told = counted(count, "empty cell")
            self.notes.append(f"column {name!r} has {told}: taken as a category of their own, {MISSING!r}")
        words = cells.are(Sort.WORD)
        if words.any():
            texts = sorted(set(cells.raw[words]))
            self.notes.append(
                f"column {name!r} says {first_few(texts)} in {counted(int(words.sum()), 'cell')}: taken as "
                f"{'a category like others' if len(texts) == 1 else 'categories like others'}; if it means missing, "
                f"{flag('table.missing_words', texts)}"
            )
        return Column(name, tuple(found))

    def _learn_numbers(
        self, name: str, cells: Cells, missing: NDArray[np.bool_], rows: NDArray[np.int64], *, is_date: bool
    ) -> Column | None:
        self._refuse_infinite(name, cells, rows)
        known = cells.values[~missing]
        if is_constant(known, self.table.eps.get(name, 0.0)):
            return None
        if not missing.any():
            return Column(name, is_date=is_date)
        fill = float(known.mean())
        odd = missing & ~cells.are(Sort.EMPTY)
        told = counted(int(missing.sum()), "empty cell")
        if odd.any():
            kind = "date" if is_date else "number"
            told = (
                f"{counted(int(missing.sum()), 'cell')} without a {kind} ({named_cells(cells, odd, self.table, rows)})"
            )
        self.notes.append(f"column {name!r} has {told}: taken as its mean, {fill:.4g}")
        return Column(name, fill=fill, is_date=is_date)

    def _refuse_infinite(self, name: str, cells: Cells, rows: NDArray[np.int64]) -> None:
        infinite = cells.are(Sort.INFINITE)
        if infinite.any():
            place = self.table.place(int(rows[int(np.argmax(infinite))]))
            raise DataError(f"column {name!r} is infinite in {place}: remove that row")

    def _refuse_unusable(self) -> None:
        if self.unusable:
            reasons = "; ".join(f"column {name!r} {reason}" for name, reason in self.unusable.items())
            raise DataError(f"{reasons}. To leave out: {flag('table.ignore', [*self.options.ignore, *self.unusable])}")

    def _classes(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        cells = self.cells[self.target].take(rows)
        classes = tuple(sorted(set(category_texts(cells))))
        if not 2 <= len(classes) <= MAX_CATEGORIES:
            raise DataError(
                f"the target {self.target!r} holds {counted(len(classes), 'different text')}, from {classes[0]!r} on: "
                f"between 2 and {MAX_CATEGORIES} can be classes, and numbers must be written as numbers"
            )
        if words := sorted(set(cells.raw[cells.are(Sort.WORD)])):
            role = "is a class" if len(words) == 1 else "are classes"
            self.notes.append(
                f"{first_few(words)} of the target {self.target!r} {role} like others; if it means missing, "
                f"{flag('table.missing_words', words)}"
            )
        return classes

    def _samples(self, encoding: Encoding, rows: NDArray[np.int64]) -> Samples:
        if not encoding.columns:
            told = "; ".join(self.notes) or "the table has no other"
            raise DataError(f"no column is left to predict {self.target!r} from: {told}")
        cells = self.cells[self.target].take(rows)
        self._refuse_infinite(self.target, cells, rows)
        targets, _ = encoding.encode_target(cells)
        if not encoding.classes and is_constant(targets, self.table.eps.get(self.target, 0.0)):
            raise DataError(f"{self.target!r} is {targets[0]:g} in every row: there is nothing to predict")
        inputs = [column.encode(self.cells[column.name].take(rows)).inputs for column in encoding.columns]
        return Samples(np.concatenate(inputs, axis=1), targets)
