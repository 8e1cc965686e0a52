"""Reads annotations in JSON: of COCO (Lin et al., 2014), and plain lists of pictures with boxes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from modicum.datasets.listings import Listing
from modicum.detect.data.annotations import (
    Annotations,
    PictureFinder,
    StatedBox,
    StatedPicture,
    check_corners,
    check_numbers,
    check_same_classes,
    decode_text,
    merge_pictures,
    part_of,
)
from modicum.storage.errors import DataError, first_few

COCO = "COCO JSON"
PLAIN = "plain JSON"
UNNAMED = "object"
"""Name of the class of plain JSON without labels."""

_PICTURE_FOLDERS = ("", "images")  # beside the file, or beside its folder
_XYWH = "bbox must be [x, y, width, height] in pixels, four finite numbers"
_XYXY = "each of boxes_xyxy must be [left, top, right, bottom] in pixels, four finite numbers"


def load_json(content: bytes, place: str) -> Any:  # noqa: ANN401  JSON can be anything
    """Parses JSON; raises `DataError` with line and column if it is none."""
    try:
        return json.loads(decode_text(content, place))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error


def kind_of(value: object) -> str | None:
    """Tells which of the two kinds of annotations parsed JSON holds, `COCO` or `PLAIN`; None for neither."""
    if isinstance(value, Mapping):
        if {"images", "annotations", "categories"} <= set(value):
            return COCO
        value = value.get("images")
    first = value[0] if isinstance(value, list) and value else None
    return PLAIN if isinstance(first, Mapping) and "boxes_xyxy" in first else None


def read_coco(listing: Listing, values: Mapping[str, Any], origin: str) -> Annotations:
    """Reads annotations in the format of COCO; classes are sorted by the number of their category.

    Crowds (``iscrowd``) and ignored objects (``ignore``, as some sets have it) keep their flags.

    Args:
        listing: The files of the set.
        values: Parsed JSON by the name of its file in the listing.
        origin: What to call the set in messages.

    Raises:
        DataError: If an entry cannot be used; the message names file and entry, and says what would be right.
    """
    categories = {file: _categories(value["categories"], file) for file, value in values.items()}
    check_same_classes({file: _class_names(found) for file, found in categories.items()}, origin)
    finder = PictureFinder(listing.images, origin)
    pictures = [
        picture for file, value in values.items() for picture in _coco_pictures(value, file, categories[file], finder)
    ]
    return Annotations(COCO, _class_names(next(iter(categories.values()))), merge_pictures(pictures, origin))


def read_plain(listing: Listing, values: Mapping[str, Any], origin: str) -> Annotations:
    """Reads lists of pictures, each with ``image``, ``boxes_xyxy`` and perhaps ``labels``, ``width`` and ``height``.

    The list stands alone or under ``images``, beside ``classes``, into which labels are indices. Boxes are in pixels,
    0-based, right and bottom exclusive. ``crowd`` and ``ignore`` may list a flag for each box.

    Args:
        listing: The files of the set.
        values: Parsed JSON by the name of its file in the listing.
        origin: What to call the set in messages.

    Raises:
        DataError: If an entry cannot be used; the message names file and entry, and says what would be right.
    """
    classes = {file: _plain_classes(value, file) for file, value in values.items()}
    common = check_same_classes(classes, origin)
    finder = PictureFinder(listing.images, origin)
    pictures = [
        _plain_picture(entry, f"{file}: images[{number}]", file, len(common), finder)
        for file, value in values.items()
        for number, entry in enumerate(value["images"] if isinstance(value, Mapping) else value)
    ]
    return Annotations(PLAIN, common, merge_pictures(pictures, origin))


def _categories(found: object, file: str) -> dict[int, str]:
    """Returns the names of categories by their numbers, in rising order of these."""
    names: dict[int, str] = {}
    for number, entry in enumerate(found if isinstance(found, list) else ()):
        place = f"{file}: categories[{number}]"
        category, name = _fields(entry, ("id", "name"), place)
        if not isinstance(category, int) or category in names:
            raise DataError(f"{place}: id must be a whole number that no other category has, got {category!r}")
        names[category] = str(name)
    if not names:
        raise DataError(f"{file}: categories must list id and name of at least one class")
    return dict(sorted(names.items()))


def _class_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(categories.values())


def _coco_pictures(
    value: Mapping[str, Any], file: str, categories: Mapping[int, str], finder: PictureFinder
) -> Iterator[StatedPicture]:
    label_of = {category: label for label, category in enumerate(categories)}
    boxes: dict[object, list[StatedBox]] = {}
    for number, entry in enumerate(value["annotations"]):
        place = f"{file}: annotations[{number}]"
        picture, category, bbox = _fields(entry, ("image_id", "category_id", "bbox"), place)
        if category not in label_of:
            raise DataError(
                f"{place}: category_id {category!r} must be the id of one of categories: "
                f"{first_few([str(each) for each in label_of])}"
            )
        boxes.setdefault(picture, []).append(
            StatedBox(_corners(bbox, place), label_of[category], place, _flag(entry, "iscrowd"), _flag(entry, "ignore"))
        )
    split, bases = part_of(file), _bases(file)
    for number, entry in enumerate(value["images"]):
        place = f"{file}: images[{number}]"
        picture, name = _fields(entry, ("id", "file_name"), place)
        found = finder.find(str(name), bases, place)
        yield StatedPicture(found, tuple(boxes.pop(picture, ())), size=_size(entry, place), split=split)
    if boxes:
        lost = next(iter(boxes.values()))[0].place
        raise DataError(f"{lost}: image_id {next(iter(boxes))!r} must be the id of one of images: add it, or drop this")


def _plain_classes(value: object, file: str) -> tuple[str, ...]:
    stated = value.get("classes") if isinstance(value, Mapping) else None
    if stated is None:
        return (UNNAMED,)
    if not isinstance(stated, list) or not stated or not all(isinstance(name, str) for name in stated):
        raise DataError(f"{file}: classes must be a list of names, got {stated!r}")
    return tuple(stated)


def _plain_picture(entry: object, place: str, file: str, num_classes: int, finder: PictureFinder) -> StatedPicture:
    name, listed = _fields(entry, ("image", "boxes_xyxy"), place)
    assert isinstance(entry, Mapping)  # `_fields` has looked
    if not isinstance(listed, list):
        raise DataError(f"{place}: boxes_xyxy must be a list, one entry for each object, got {listed!r}")
    count = len(listed)
    labels = _per_box(entry, "labels", count, place)
    crowds, ignored = (_per_box(entry, key, count, place) for key in ("crowd", "ignore"))
    boxes = []
    for number in range(count):
        where = f"{place}, box {number}"
        box = check_corners(_four(listed[number], where, _XYXY), where, _XYXY)
        if not isinstance(labels[number], int) or not 0 <= labels[number] < num_classes:
            raise DataError(f"{where}: its label must be an index into {num_classes} class(es), got {labels[number]!r}")
        boxes.append(StatedBox(box, labels[number], where, bool(crowds[number]), bool(ignored[number])))
    found = finder.find(str(name), _bases(file), place)
    return StatedPicture(found, tuple(boxes), size=_size(entry, place), split=part_of(file))


def _per_box(entry: Mapping[str, Any], key: str, count: int, place: str) -> Sequence[Any]:
    """Returns what an entry lists under a key for each of its boxes; zeros if it does not."""
    values = entry.get(key, [0] * count)
    if not isinstance(values, list) or len(values) != count:
        raise DataError(f"{place}: {key} must list one value for each of its {count} box(es), got {values!r}")
    return values


def _fields(entry: object, keys: Sequence[str], place: str) -> list[Any]:
    if not isinstance(entry, Mapping):
        raise DataError(f"{place} must be an object with {', '.join(keys)}, got {entry!r}")
    if missing := [key for key in keys if key not in entry]:
        raise DataError(f"{place} lacks {first_few(missing)}: it must have {', '.join(keys)}")
    return [entry[key] for key in keys]


def _corners(bbox: object, place: str) -> tuple[float, float, float, float]:
    left, top, width, height = _four(bbox, place, _XYWH)
    return check_corners((left, top, left + width, top + height), place, f"{_XYWH}, the last two not negative")


def _four(values: object, place: str, expected: str) -> list[float]:
    if not isinstance(values, list) or len(values) != 4:
        raise DataError(f"{place}: {expected}, got {values!r}")
    return check_numbers(values, place, expected)


def _flag(entry: Mapping[str, Any], key: str) -> bool:
    return bool(entry.get(key, 0))


def _size(entry: Mapping[str, Any], place: str) -> tuple[int, int] | None:
    """Returns the stated width and height; None where they are left out, or zero as some exporters write them."""
    stated = (entry.get("width") or 0, entry.get("height") or 0)
    if stated == (0, 0):
        return None
    if not all(isinstance(side, int) and side > 0 for side in stated):
        raise DataError(f"{place}: width and height must be whole numbers of pixels above 0, got {stated}")
    return stated


def _bases(file: str) -> list[str]:
    """Lists the folders that pictures of a file of annotations may be named relative to, the most likely first.

    COCO's own ``annotations/instances_val2017.json`` belongs to ``val2017/``, beside the folder of the file.
    """
    path = PurePosixPath(file)
    own = path.stem.removeprefix("instances_").removeprefix("person_keypoints_")
    here = [str(path.parent / folder) for folder in _PICTURE_FOLDERS]
    above = [str(path.parent.parent / folder) for folder in (own, f"images/{own}", *_PICTURE_FOLDERS)]
    return [*here, *above]
