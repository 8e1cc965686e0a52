"""Tables of users, CSV or Parquet, as points to fit: what each column is, what is left out, and why."""

# N rows
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.encoding import MISSING, Column, Encoding, as_categories, as_numbers
from modicum.graphs.problems import Samples
from modicum.graphs.recipe import TABLE_SUFFIXES, TableOptions
from modicum.imaging.files import expand_inputs, is_image_name
from modicum.storage.errors import DataError, MissingExtraError, first_few

if TYPE_CHECKING:
    from pandas import DataFrame

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


def expand_sources(inputs: Iterable[str | Path]) -> list[Path]:
    """The files that a user means: files as they are, tables and images of folders, and what glob patterns match.

    Raises:
        DataError: If a folder or pattern holds none; a missing file is left to be reported as unreadable.
    """
    files: list[Path] = []
    for entry in inputs:
        if not Path(entry).is_dir():
            files += expand_inputs([entry])
            continue
        found = [file for file in Path(entry).rglob("*") if is_image_name(file.name) or is_table_name(file.name)]
        if not found:
            raise DataError(f"{entry} holds neither table nor image ({' '.join(TABLE_SUFFIXES)})")
        files += sorted(found)
    return files


def is_table_name(name: str) -> bool:
    """Whether a file of this name counts as a table."""
    return name.lower().endswith(TABLE_SUFFIXES) and not name.startswith(".")


def read_table(path: str | Path) -> "DataFrame":
    """A table from a CSV (comma, semicolon or tab, also compressed) or Parquet file; the first line names the columns.

    Raises:
        DataError: If the file is missing, unreadable, empty, or names a column twice.
        MissingExtraError: If pandas, or what it reads Parquet with, is not installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"{path} does not exist: give a table ({' '.join(TABLE_SUFFIXES)})")
    if not is_table_name(path.name):
        raise DataError(f"{path} is no table: its name should end in one of {' '.join(TABLE_SUFFIXES)}")
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", "graphs") from error
    try:
        frame = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except ImportError as error:
        raise MissingExtraError("pyarrow", "graphs") from error
    except (ValueError, OSError) as error:  # pandas and pyarrow derive theirs from these
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read as a table: {reason}") from error
    if frame.empty:
        raise DataError(f"{path} holds no rows")
    frame.columns = [str(name).strip() for name in frame.columns]
    _refuse_twice(path, list(frame.columns))
    return frame


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns of the name {first_few(twice)}: rename them")


def _read_csv(path: Path) -> "DataFrame":
    import pandas as pd

    with pd.io.common.get_handle(path, "r", encoding="utf-8-sig", compression="infer") as handle:
        first = handle.handle.readline()
    # By the first line alone: pandas' own guess takes a letter where there is a single column.
    separator = max((",", ";", "\t"), key=lambda mark: (first.count(mark), mark == ","))
    decimal = "," if separator == ";" else "."
    names = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
    _refuse_twice(path, [name for name in map(str.strip, names) if name])  # pandas would give the second another name
    return pd.read_csv(path, sep=separator, encoding="utf-8-sig", decimal=decimal, skipinitialspace=True)


def learn_table(frame: "DataFrame", target: str, options: TableOptions) -> LearnedTable:
    """What a table says of its columns, and its rows as points.

    A column of texts or truth values is one of categories, as is one that ``options`` names; a target of texts makes
    classes. Columns that say the same everywhere are left out, as are rows without a target.

    Args:
        frame: As `read_table` gives it, or any data frame with texts as names of its columns.
        target: The column to predict.
        options: Which columns count, and what becomes of empty cells.

    Raises:
        DataError: If the target or a named column is missing, a column cannot be used, or nothing is left.
    """
    _check_names(frame, [target, *options.ignore, *options.categories])
    notes: list[str] = []
    filled = np.flatnonzero(frame[target].notna().to_numpy())
    if gone := len(frame) - len(filled):
        notes.append(f"{gone:,} of {len(frame):,} rows have no {target}: left out")
    names = [name for name in frame.columns if name != target and name not in options.ignore]
    if options.missing == "drop":
        whole = frame[names].notna().all(axis=1).to_numpy()[filled]
        if not whole.all():
            notes.append(f"{int((~whole).sum()):,} rows have an empty cell: left out")
        filled = filled[whole]
    if len(filled) < MIN_ROWS:
        raise DataError(f"{len(filled)} usable rows are too few to fit anything: it takes {MIN_ROWS}")
    kept = frame.iloc[filled]
    columns = [_learn_column(kept, name, options, notes) for name in names]
    encoding = Encoding(tuple(c for c in columns if c is not None), target, _classes(kept, target, options))
    if not encoding.columns:
        raise DataError(f"no column is left to predict {target!r} from: {'; '.join(notes) or 'the table has no other'}")
    samples = Samples(encoding.encode(_cells(kept)), encoding.encode_target(kept[target].to_numpy(object)))
    if not encoding.classes and samples.targets.std() == 0:
        raise DataError(f"{target!r} is {samples.targets[0]:g} in every row: there is nothing to predict")
    return LearnedTable(encoding, samples, filled, tuple(notes))


def split_rows(count: int, options: TableOptions, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Numbers of the rows of each part, drawn once: ``train``, ``validation`` and ``test``, each at least one row."""
    order = rng.permutation(count)
    sizes = {name: max(1, round(share * count)) for name, share in options.shares.items()}
    ends = np.cumsum(list(sizes.values()))
    parts = np.split(order, ends)
    return {"train": np.sort(parts[-1]), **{name: np.sort(part) for name, part in zip(sizes, parts, strict=False)}}


def _check_names(frame: "DataFrame", names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(f"the table has no column {first_few(missing)}: it has {first_few(list(frame.columns), 20)}")


def _cells(frame: "DataFrame") -> dict[str, NDArray[Any]]:
    return {name: frame[name].to_numpy(object) for name in frame.columns}


def _learn_column(frame: "DataFrame", name: str, options: TableOptions, notes: list[str]) -> Column | None:
    """What a column is; None, and a note, where it says nothing."""
    from pandas.api.types import is_datetime64_any_dtype

    if is_datetime64_any_dtype(frame[name]):
        raise DataError(
            f"column {name!r} holds dates: turn it into numbers, such as days, or leave it out by "
            f"--table.ignore '[{name}]'"
        )
    cells = frame[name].to_numpy(object)
    empty = int(frame[name].isna().sum())
    if empty and options.missing == "refuse":
        raise DataError(f"column {name!r} has {empty:,} empty cells: fill them, or choose --table.missing fill or drop")
    if is_categorical(frame, name, options):
        column = _learn_categories(name, cells, empty, notes)
    else:
        column = _learn_numbers(name, cells, empty, notes)
    if column is None:
        notes.append(f"column {name!r} says the same in every row: left out")
    return column


def is_categorical(frame: "DataFrame", name: str, options: TableOptions) -> bool:
    """Whether a column counts as one of categories: it is named so, or holds something else than numbers."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return name in options.categories or is_bool_dtype(frame[name]) or not is_numeric_dtype(frame[name])


def _learn_categories(name: str, cells: NDArray[Any], empty: int, notes: list[str]) -> Column | None:
    found = sorted(set(as_categories(cells)))
    if len(found) < 2:
        return None
    if len(found) > MAX_CATEGORIES:
        raise DataError(
            f"column {name!r} holds {len(found):,} different texts such as {found[0]!r}, more than {MAX_CATEGORIES}: "
            f"leave it out by --table.ignore '[{name}]', or group them"
        )
    if empty:
        notes.append(f"column {name!r} has {empty:,} empty cells: taken as a category of their own, {MISSING!r}")
    return Column(name, tuple(found))


def _learn_numbers(name: str, cells: NDArray[Any], empty: int, notes: list[str]) -> Column | None:
    numbers = as_numbers(name, cells)
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0 or np.ptp(known) == 0:
        return None
    if not empty:
        return Column(name)
    fill = float(known.mean())
    notes.append(f"column {name!r} has {empty:,} empty cells: taken as its mean, {fill:.4g}")
    return Column(name, fill=fill)


def _classes(frame: "DataFrame", target: str, options: TableOptions) -> tuple[str, ...]:
    if not is_categorical(frame, target, options):
        return ()
    classes = tuple(sorted(set(as_categories(frame[target].to_numpy(object)))))
    if not 2 <= len(classes) <= MAX_CATEGORIES:
        raise DataError(
            f"the target {target!r} holds {len(classes):,} different texts, from {classes[0]!r} on: between 2 and "
            f"{MAX_CATEGORIES} can be classes, and numbers must be written as numbers"
        )
    return classes
