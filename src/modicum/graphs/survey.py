"""What a table or a picture holds, and how it would be fitted, before anything is searched."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modicum.graphs.encoding import MISSING, as_categories
from modicum.graphs.photographs import open_brightness
from modicum.graphs.preparation import picture_name
from modicum.graphs.problems import BLOCK
from modicum.graphs.recipe import TABLE_SUFFIXES, TableOptions
from modicum.graphs.tables import MAX_CATEGORIES, is_categorical, read_table
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.storage.errors import DataError
from modicum.storage.outputs import write_output

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class ColumnSurvey:
    """What a column of a table holds.

    Attributes:
        name: As the table has it.
        kind: "number", "category", "constant", "dates", or "names", which cannot be used.
        empty: Cells without a value.
        holds: Least, mean and greatest number, or the first categories.
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
    """

    name: str
    origin: str
    rows: int
    columns: tuple[ColumnSurvey, ...]
    width_px: int | None = None


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Survey:
    """Looks through a table or a picture.

    Args:
        source: As for training.
        strict: Refuse a table with empty cells, or with columns that cannot be used.
        preview: Write the picture as brightness here; of a table, its first rows.

    Raises:
        DataError: If it cannot be read, or with ``strict``, if something is wrong with it.
    """
    return (
        _survey_table(source, strict, preview) if source.lower().endswith(TABLE_SUFFIXES) else _picture(source, preview)
    )


def _survey_table(source: str, strict: bool, preview: str | Path | None) -> Survey:
    frame = read_table(source)
    columns = tuple(_survey_column(frame, name) for name in frame.columns)
    bad = [c.name for c in columns if c.kind in ("dates", "names") or c.empty]
    if strict and bad:
        raise DataError(f"columns with empty cells, dates or names: {', '.join(bad)}")
    if preview is not None:
        write_output(preview, frame.head(20).to_csv(index=False))
    return Survey(Path(source).name, source, len(frame), columns)


def _survey_column(frame: "DataFrame", name: str) -> ColumnSurvey:
    from pandas.api.types import is_datetime64_any_dtype

    cells, empty = frame[name], int(frame[name].isna().sum())
    if cells.nunique() < 2:
        return ColumnSurvey(name, "constant", empty, str(cells.dropna().iloc[0]) if empty < len(cells) else "")
    if is_datetime64_any_dtype(cells):
        return ColumnSurvey(name, "dates", empty, f"{cells.min()} to {cells.max()}")
    if not is_categorical(frame, name, TableOptions()):
        return ColumnSurvey(name, "number", empty, f"{cells.min():.6g} to {cells.max():.6g}, mean {cells.mean():.6g}")
    found = sorted({text for text in as_categories(cells.to_numpy(object)) if text != MISSING})
    kind = "names" if len(found) > MAX_CATEGORIES else "category"
    return ColumnSurvey(name, kind, empty, f"{len(found):,}: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}")


def _picture(source: str, preview: str | Path | None) -> Survey:
    check_preview_name(preview)
    image = open_brightness(source)
    if preview is not None:
        write_sheet(preview, torch.from_numpy(image)[None, None].float(), 1)
    height, width = image.shape
    if min(height, width) < 3 or max(height, width) <= BLOCK:
        raise DataError(f"{source} has {width}x{height} px: the next pixel needs more than {BLOCK} px in one direction")
    return Survey(picture_name(source), source, height, (), width)
