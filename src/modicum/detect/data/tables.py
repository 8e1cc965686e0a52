"""Reads annotations in CSV files: one object a row."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from modicum.datasets.listings import Listing
from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.detect.data.annotations import (
    Annotations,
    PictureFinder,
    StatedBox,
    StatedPicture,
    Unit,
    check_corners,
    check_numbers,
    decode_text,
    merge_pictures,
    part_of,
)
from modicum.storage.errors import DataError, first_few

TITLE = "CSV"

T = TypeVar("T")

_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "filename", "file", "image", "image_path", "image_name", "img", "frame"),
    "class": ("class", "label", "class_name", "category", "lbl"),
    "left": ("xmin", "x1", "x_min", "left"),
    "top": ("ymin", "y1", "y_min", "top"),
    "right": ("xmax", "x2", "x_max", "right"),
    "bottom": ("ymax", "y2", "y_max", "bottom"),
    "x": ("x", "bbox_x"),
    "y": ("y", "bbox_y"),
    "w": ("w", "bbox_w", "box_width", "bbox_width"),
    "h": ("h", "bbox_h", "box_height", "bbox_height"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
    "crowd": ("crowd", "iscrowd", "isgroupof"),
    "ignore": ("ignore", "ign", "difficult"),
    "split": ("split", "set", "subset", "part"),
}
"""Names that published files have for each column, in lower case."""
_OPEN_IMAGES = {"imageid": "path", "labelname": "class"}
_RETINANET = ("path", "left", "top", "right", "bottom", "class")  # without a header
_CORNERS, _EXTENT = ("left", "top", "right", "bottom"), ("x", "y", "w", "h")
_RIGHT = (
    "a row needs path, class and either xmin, ymin, xmax, ymax or x, y, w, h, in pixels; for a picture without objects "
    "all but the path is empty"
)
_FALSE = {"", "0", "false", "no"}


class _Table:
    """The rows of one file, with what its columns mean."""

    def __init__(self, listing: Listing, file: str) -> None:
        rows = list(csv.reader(io.StringIO(decode_text(listing.read(file), file), newline="")))
        self.file = file
        header = [cell.strip().lower() for cell in rows[0]] if rows else []
        self.is_open_images = "imageid" in header
        if columns := _columns(header, self.is_open_images):
            first = 2
        elif len(header) == len(_RETINANET) and all(not cell or _is_number(cell) for cell in header[1:5]):
            columns, first = {name: place for place, name in enumerate(_RETINANET)}, 1
        else:
            raise DataError(f"{file}, line 1: the columns {first_few(header, 12)} are not enough: {_RIGHT}")
        self.columns = columns
        self.rows = [(f"{file}, line {n}", row) for n, row in enumerate(rows[first - 1 :], start=first) if any(row)]

    def cell(self, row: Sequence[str], name: str) -> str:
        """Returns the text of a column; empty where the file has no such column or the row ends before it."""
        place = self.columns.get(name)
        return row[place].strip() if place is not None and place < len(row) else ""

    @property
    def edges(self) -> tuple[str, ...]:
        return _CORNERS if "left" in self.columns else _EXTENT


def is_table(content: bytes) -> bool:
    """Tells whether a CSV file has the columns of annotations, by its first line."""
    try:
        line = content[:4000].decode("utf-8-sig", "ignore").splitlines()[0]
    except IndexError:
        return False
    header = [cell.strip().lower() for cell in next(csv.reader([line]), [])]
    return bool(_columns(header, "imageid" in header)) or (
        len(header) == len(_RETINANET) and all(not cell or _is_number(cell) for cell in header[1:5])
    )


def read_tables(listing: Listing, files: Sequence[str], origin: str) -> Annotations:
    """Reads annotations of CSV files; classes are sorted by name.

    Columns have the names of common programs (``filename,width,height,class,xmin,ymin,xmax,ymax``, or ``x,y,w,h``),
    those of Open Images, or none (``path,x1,y1,x2,y2,class``, as of RetinaNet's). ``crowd``, ``ignore``, ``split`` and
    the pictures' ``width`` and ``height`` are read where they stand. A row with only a path is an empty picture.

    Args:
        listing: The files of the set.
        files: Names of the CSV files in the listing.
        origin: What to call the set in messages.

    Raises:
        DataError: If a row cannot be used; the message names file and line, and says what would be right.
    """
    tables = [_Table(listing, file) for file in files]
    classes = tuple(sorted({name for table in tables for _, row in table.rows if (name := table.cell(row, "class"))}))
    if not classes:
        raise DataError(f"{origin}: no row of {first_few(list(files))} states a class: {_RIGHT}")
    label_of = {name: label for label, name in enumerate(classes)}
    finder = PictureFinder(listing.images, origin)
    stems = _stems(listing) if any(table.is_open_images for table in tables) else {}
    pictures = [picture for table in tables for picture in _pictures(table, label_of, finder, stems)]
    return Annotations(TITLE, classes, merge_pictures(pictures, origin))


def _columns(header: Sequence[str], is_open_images: bool) -> dict[str, int]:
    """Returns the place of each column by our name for it; empty if path, class or edges are missing."""
    names = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
    names |= _OPEN_IMAGES if is_open_images else {}
    found: dict[str, int] = {}
    for place, cell in enumerate(header):
        if cell in names:
            found.setdefault(names[cell], place)
    if {"x", "y", "width", "height"} <= set(found) and not {"w", "h", "left"} & set(found):
        found["w"], found["h"] = found.pop("width"), found.pop("height")  # beside a corner they are those of the box
    has_edges = any(all(edge in found for edge in edges) for edges in (_CORNERS, _EXTENT))
    return found if {"path", "class"} <= set(found) and has_edges else {}


def _pictures(
    table: _Table, label_of: Mapping[str, int], finder: PictureFinder, stems: Mapping[str, str]
) -> Iterable[StatedPicture]:
    base = str(PurePosixPath(table.file).parent)
    names: dict[str, str] = {}
    boxes: dict[str, list[StatedBox]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    splits: dict[str, Part | None] = {}
    for place, row in table.rows:
        stated = table.cell(row, "path")
        if stated not in names:
            names[stated] = stems.get(stated) or finder.find(stated, [base, f"{base}/images"], place)
        name = names[stated]
        if box := _box(table, row, label_of, place):
            boxes.setdefault(name, []).append(box)
        _settle(sizes, name, _size(table, row, place), place)
        _settle(splits, name, _split(table, row, place), place)
    unit: Unit = "share" if table.is_open_images else "pixels"
    for name in dict.fromkeys(names.values()):
        yield StatedPicture(name, tuple(boxes.get(name, ())), unit, sizes[name], splits[name])


def _settle(found: dict[str, T], name: str, value: T, place: str) -> None:
    """Keeps what a row states of a picture; raises `DataError` if another row states something else."""
    earlier = found.get(name, value)
    if value is not None and earlier is not None and value != earlier:
        raise DataError(f"{place}: {value} contradicts {earlier}, which an earlier row states of {name!r}: keep one")
    found[name] = earlier if earlier is not None else value


def _size(table: _Table, row: Sequence[str], place: str) -> tuple[int, int] | None:
    cells = [table.cell(row, side) for side in ("width", "height")]
    if not all(cells):
        return None
    width, height = check_numbers(cells, place, "width and height are those of the picture, in pixels")
    return (round(width), round(height)) if width > 0 and height > 0 else None


def _split(table: _Table, row: Sequence[str], place: str) -> Part | None:
    stated = table.cell(row, "split").lower()
    if stated and stated not in SPLIT_NAMES:
        raise DataError(f"{place}: split must be one of {', '.join(SPLIT_NAMES)}, got {stated!r}")
    return SPLIT_NAMES.get(stated) or part_of(table.file)


def _stems(listing: Listing) -> dict[str, str]:
    """Returns the names of pictures by what precedes their suffix, as Open Images calls them."""
    return {PurePosixPath(name).stem: name for name in reversed(listing.images)}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _box(table: _Table, row: Sequence[str], label_of: Mapping[str, int], place: str) -> StatedBox | None:
    """Returns the object of a row; None for a row that only names a picture."""
    cells, name = [table.cell(row, edge) for edge in table.edges], table.cell(row, "class")
    if not any(cells) and not name:
        return None
    if not name:
        raise DataError(f"{place}: the class is empty: {_RIGHT}")
    numbers = check_numbers(cells, place, _RIGHT)
    box = (numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3])
    corners = check_corners(numbers if table.edges == _CORNERS else box, place, _RIGHT)
    crowd, ignore = (table.cell(row, key).lower() not in _FALSE for key in ("crowd", "ignore"))
    return StatedBox(corners, label_of[name], place, crowd, ignore)
