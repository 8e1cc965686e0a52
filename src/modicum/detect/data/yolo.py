"""Reads annotations of YOLO: a text file for each picture, with one object a line, and the classes beside them."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from modicum.datasets.listings import Listing
from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.detect.data.annotations import (
    Annotations,
    Box,
    StatedBox,
    StatedPicture,
    check_numbers,
    decode_text,
    merge_pictures,
    normalised,
    part_of,
)
from modicum.imaging.files import is_image_name
from modicum.storage.errors import DataError, first_few

TITLE = "YOLO text"
CLASS_FILES = ("classes.txt", "obj.names", "classes.names")
"""Files that list the names of the classes, one a line, where there is no YAML file: of LabelImg and of Darknet."""

_RIGHT = "each line must be: class centre-x centre-y width height, the last four as shares of the picture, from 0 to 1"


def is_dataset_file(name: str) -> bool:
    """Tells whether a file may describe a set in the manner of Ultralytics: a YAML file."""
    return name.lower().endswith((".yaml", ".yml"))


def describes_dataset(content: bytes) -> bool:
    """Tells whether a YAML file states the names of classes."""
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(value, Mapping) and "names" in value


def read_yolo(listing: Listing, file: str, origin: str) -> Annotations:
    """Reads the annotations of a set that a YAML file or a list of classes describes.

    The label of ``images/a.jpg`` is ``labels/a.txt``, or ``a.txt`` beside it; a picture without one is empty. Lines
    with more than five numbers are outlines (class x y x y ...), whose bounding box counts.

    Args:
        listing: The files of the set.
        file: The file that states the classes, a name in the listing.
        origin: What to call the set in messages.

    Raises:
        DataError: If there are no labels, or a line cannot be used; the message names file and line.
    """
    if is_dataset_file(file):
        value = _load_yaml(listing.read(file), file)
        classes, parts = _yaml_classes(value.get("names"), file), _parts_of_yaml(value, file, listing)
    else:
        lines = decode_text(listing.read(file), file).splitlines()
        classes = tuple(line.strip() for line in lines if line.strip())
        parts = {name: part_of(str(PurePosixPath(name).parent)) for name in listing.images}
    if not classes:
        raise DataError(f"{file} states no class: list their names")
    known = frozenset(listing.names)
    labels = {name: _label_of(name, known) for name in parts}
    if not any(labels.values()):
        raise DataError(
            f"{origin}: none of the {len(parts)} pictures has a file of labels: images/a.jpg needs labels/a.txt, or "
            "a.txt beside it; a picture without objects may lack it, but not all of them"
        )
    pictures = [
        StatedPicture(
            name, tuple(_read_boxes(listing, label, len(classes))) if label else (), unit="share", split=parts[name]
        )
        for name, label in labels.items()
    ]
    return Annotations(TITLE, classes, merge_pictures(pictures, origin))


def _load_yaml(content: bytes, file: str) -> Mapping[str, Any]:
    try:
        value = yaml.safe_load(decode_text(content, file))
    except yaml.YAMLError as error:
        raise DataError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, Mapping):
        raise DataError(f"{file} must state names, and the folders of train and val, got {value!r}")
    return value


def _yaml_classes(names: object, file: str) -> tuple[str, ...]:
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names must be a list of classes, or a table of them by 0, 1, 2 ..., got {names!r}")
    return tuple(map(str, names))


def _parts_of_yaml(value: Mapping[str, Any], file: str, listing: Listing) -> dict[str, Part | None]:
    """Returns the part of every picture that the keys train, val and test of a YAML file name."""
    parts: dict[str, Part | None] = {}
    for key in dict.fromkeys(SPLIT_NAMES):
        stated = value.get(key) or []
        for place in stated if isinstance(stated, list) else [stated]:
            for name in _pictures_at(str(place), str(value.get("path") or ""), file, listing):
                parts.setdefault(name, SPLIT_NAMES[key])
    if not parts:
        raise DataError(
            f"{file} names no pictures: train, val or test must be a folder of pictures, or a list of files"
        )
    named = set(parts.values())
    return {name: part if len(named) > 1 else None for name, part in parts.items()}


def _pictures_at(place: str, root: str, file: str, listing: Listing) -> list[str]:
    """Lists the pictures of a folder, or of a text file that lists them, found relative to the YAML file.

    Paths of the machine that wrote the file, and the ``../`` that Roboflow puts before them, are shortened from the
    left until something is found.
    """
    base = str(PurePosixPath(file).parent)
    whole = place if PurePosixPath(place).is_absolute() else f"{root}/{place}"
    words = normalised(whole.replace("\\", "/")).split("/")
    for start in range(len(words)):
        wanted = normalised(f"{base}/{'/'.join(words[start:])}")
        if wanted in listing.names and wanted.lower().endswith(".txt"):
            return _listed(wanted, listing)
        if found := [name for name in listing.images if name.startswith(f"{wanted}/")]:
            return found
    if words == [""]:  # the folder of the YAML file itself
        return [name for name in listing.images if base == "." or name.startswith(f"{base}/")]
    raise DataError(f"{file} names {place!r}, where no picture is: give a folder relative to this file")


def _listed(file: str, listing: Listing) -> list[str]:
    """Returns the pictures that a text file lists, one a line, relative to itself or with longer paths."""
    base, found, known = str(PurePosixPath(file).parent), [], frozenset(listing.images)
    for number, line in enumerate(decode_text(listing.read(file), file).splitlines(), start=1):
        if not line.strip():
            continue
        words = normalised(line.strip().replace("\\", "/")).split("/")
        names = (normalised(f"{base}/{'/'.join(words[start:])}") for start in range(len(words)))
        name = next((name for name in names if name in known), None)
        if name is None:
            raise DataError(
                f"{file}, line {number}: {line.strip()!r} is no picture of the set: put it there, or drop it"
            )
        found.append(name)
    return found


def _label_of(picture: str, known: frozenset[str]) -> str | None:
    """Returns the file of labels of a picture; None if it has none."""
    stem, _ = posixpath.splitext(picture)
    parts = stem.split("/")
    for place in reversed(range(len(parts) - 1)):
        if parts[place].lower() == "images":
            wanted = "/".join([*parts[:place], "labels", *parts[place + 1 :]]) + ".txt"
            if wanted in known:
                return wanted
    return f"{stem}.txt" if f"{stem}.txt" in known else None


def _read_boxes(listing: Listing, file: str, num_classes: int) -> Iterator[StatedBox]:
    for number, line in enumerate(decode_text(listing.read(file), file).splitlines(), start=1):
        if words := line.split():
            place = f"{file}, line {number}"
            yield StatedBox(_box(words[1:], place), _label(words[0], num_classes, place), place)


def _label(word: str, num_classes: int, place: str) -> int:
    (number,) = check_numbers([word], place, _RIGHT)
    if number != int(number) or not 0 <= number < num_classes:
        raise DataError(f"{place}: class {word} must be a whole number from 0 to {num_classes - 1}: {_RIGHT}")
    return int(number)


def _box(words: Sequence[str], place: str) -> Box:
    numbers = check_numbers(words, place, _RIGHT)
    if len(numbers) == 4:
        x, y, width, height = numbers
        if max(numbers) > 2:  # boxes may reach beyond the picture a little, but not by its whole size
            raise DataError(f"{place}: {first_few(list(words))} are no shares but pixels: {_RIGHT}")
        if width < 0 or height < 0:
            raise DataError(f"{place}: width and height must not be negative: {_RIGHT}")
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        across, down = numbers[::2], numbers[1::2]
        return min(across), min(down), max(across), max(down)
    raise DataError(f"{place} has {len(numbers) + 1} numbers: {_RIGHT}, or an outline: class x y x y x y ...")


def finds_labels(names: Sequence[str]) -> bool:
    """Tells whether a listing holds text files that stand where labels of its pictures do."""
    known = frozenset(names)
    return any(is_image_name(PurePosixPath(name).name) and _label_of(name, known) for name in names)
