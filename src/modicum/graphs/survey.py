"""What a table or a picture holds, and how it would be fitted, before anything is searched."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from modicum.graphs.cells import Cells, Sort, read_cells
from modicum.graphs.column_kinds import UnusableColumnError, decide_kind, flag, is_constant
from modicum.graphs.encoding import Column, named_cells
from modicum.graphs.photographs import open_picture, strips
from modicum.graphs.predictor import to_pixels
from modicum.graphs.preparation import picture_name
from modicum.graphs.problems import BLOCK
from modicum.graphs.recipe import TABLE_SUFFIXES, TableOptions
from modicum.graphs.table import Table, read_table
from modicum.graphs.tables import MAX_CATEGORIES
from modicum.imaging.previews import check_preview_name, write_picture
from modicum.storage.errors import DataError
from modicum.storage.outputs import write_output


@dataclass(frozen=True)
class ColumnSurvey:
    """What a column of a table holds.

    Attributes:
        name: As the table has it.
        kind: "number", "category", "constant", "dates", or "names" and "unusable", which cannot be used.
        empty: Cells without a value, or without a number in a column of numbers.
        holds: Least, mean and greatest number, the first categories, or why it cannot be used.
    """

    name: str
    kind: str
    empty: int
    holds: str


@dataclass(frozen=True)
class Survey:
    """What a check of a source found.

    Attributes:
        name: What a reader calls the source.
        origin: Where it was read from.
        rows: Of a table, or height of a picture in px.
        columns: Of a table; empty for a picture.
        width_px: Of a picture; None for a table.
        hint: The flag that leaves out all unusable columns; empty if all are usable.
    """

    name: str
    origin: str
    rows: int
    columns: tuple[ColumnSurvey, ...]
    width_px: int | None = None
    hint: str = ""


def survey(
    source: str, *, strict: bool = False, preview: str | Path | None = None, options: TableOptions | None = None
) -> Survey:
    """Surveys a table or a picture.

    Args:
        source: As for training.
        strict: Refuse a table with empty cells, or with columns that cannot be used.
        preview: Write the picture as brightness here; of a table, its first rows.
        options: How a table is read, as for training.

    Raises:
        DataError: If it cannot be read, or with ``strict``, if something is wrong with it.
    """
    if source.lower().endswith(TABLE_SUFFIXES):
        return _survey_table(source, options or TableOptions(), strict, preview)
    return _picture(source, preview)


def _survey_table(source: str, options: TableOptions, strict: bool, preview: str | Path | None) -> Survey:
    table = read_table(source, options)
    columns = tuple(_survey_column(table, name) for name in table.names)
    bad = [c.name for c in columns if c.kind in ("names", "unusable") or c.empty]
    if strict and bad:
        raise DataError(f"columns with empty or odd cells, names, or nothing usable: {', '.join(bad)}")
    if preview is not None:
        write_output(preview, table.head(20))
    hint = [c.name for c in columns if c.kind in ("names", "unusable")]
    return Survey(Path(source).name, source, table.num_rows, columns, hint=flag("table.ignore", hint) if hint else "")


def _survey_column(table: Table, name: str) -> ColumnSurvey:
    cells = read_cells(table.columns[name], decimal=table.decimal)
    empty = cells.count(Sort.EMPTY)
    try:
        kind = decide_kind(name, cells, table)
    except UnusableColumnError as error:
        return ColumnSurvey(name, "unusable", empty, str(error))
    if kind == "categories":
        return _survey_texts(name, cells, empty)
    is_known = Column(name, is_date=kind == "dates").has_number(cells)
    known, odd = cells.values[is_known], ~is_known & ~cells.are(Sort.EMPTY)
    missing = int((~is_known).sum())
    told = f"; no number: {named_cells(cells, odd, table)}" if odd.any() else ""
    if is_constant(known, table.eps.get(name, 0.0)):
        return ColumnSurvey(name, "constant", missing, (f"{known[0]:.6g}" if len(known) else "") + told)
    if kind == "dates":
        first, last = (np.datetime64(round(day * 86400), "s").item() for day in (known.min(), known.max()))
        return ColumnSurvey(name, "dates", missing, f"{first:%Y-%m-%d} to {last:%Y-%m-%d}{told}")
    numbers = f"{known.min():.6g} to {known.max():.6g}, mean {known.mean():.6g}"
    return ColumnSurvey(name, "number", missing, numbers + told)


def _survey_texts(name: str, cells: Cells, empty: int) -> ColumnSurvey:
    found = sorted(set(cells.texts()[~cells.are(Sort.EMPTY)]))
    if len(found) < 2:
        return ColumnSurvey(name, "constant", empty, found[0] if found else "")
    kind = "names" if len(found) > MAX_CATEGORIES else "category"
    return ColumnSurvey(name, kind, empty, f"{len(found):,}: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}")


def _picture(source: str, preview: str | Path | None) -> Survey:
    check_preview_name(preview)
    picture = open_picture(source)
    height, width = picture.size
    if preview is not None:
        pixels = np.empty(picture.size, dtype=np.uint8)
        for rows in strips(height, width):
            pixels[rows] = to_pixels(picture.brightness(rows))
        write_picture(preview, Image.fromarray(pixels))
    if min(height, width) < 3 or max(height, width) <= BLOCK:
        raise DataError(f"{source} has {width}x{height} px: the next pixel needs more than {BLOCK} px in one direction")
    return Survey(picture_name(source), source, height, (), width)
