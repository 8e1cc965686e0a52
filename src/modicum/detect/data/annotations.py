"""Boxes as files of annotations state them, before the pictures are looked at."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.storage.errors import DataError, first_few

Unit = Literal["pixels", "share"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class StatedBox:
    """One annotated object.

    Attributes:
        box: Left, top, right and bottom edge; right and bottom are exclusive.
        label: Index into the classes of the set.
        place: File and line, or file and entry, for messages.
        is_crowd: The box covers a group of objects that are not annotated singly.
        is_ignored: The object neither has to be found nor counts as a false alarm.
    """

    box: Box
    label: int
    place: str
    is_crowd: bool = False
    is_ignored: bool = False


@dataclass(frozen=True, slots=True)
class StatedPicture:
    """A picture and its objects.

    Attributes:
        name: Name of its file in the listing; also its id.
        boxes: Its objects; none for an empty picture.
        unit: Whether boxes are in pixels, or in shares of width and height.
        size: Width and height in pixels that the annotations state; None if they do not.
        split: The part that the set puts it into; None where it does not say.
    """

    name: str
    boxes: tuple[StatedBox, ...] = ()
    unit: Unit = "pixels"
    size: tuple[int, int] | None = None
    split: Part | None = None


@dataclass(frozen=True)
class Annotations:
    """All that the files of annotations of a set state.

    Attributes:
        title: Name of their format.
        classes: Names of the classes; a label is an index into them.
        pictures: The pictures, by name in rising order.
    """

    title: str
    classes: tuple[str, ...]
    pictures: tuple[StatedPicture, ...]


class PictureFinder:
    """Finds the files of pictures by the names that annotations give them.

    Args:
        names: Names of all pictures of a listing.
        origin: What to call the set in messages.
    """

    def __init__(self, names: Iterable[str], origin: str) -> None:
        self._names, self._origin = frozenset(names), origin
        self._by_last: dict[str, list[str]] = {}
        for name in sorted(self._names):
            self._by_last.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, stated: str, bases: Sequence[str], place: str) -> str:
        """Returns the name in the listing of a picture.

        Args:
            stated: The name that the annotations give, perhaps with folders of another machine.
            bases: Folders that it may be relative to, the most likely first.
            place: Where it is stated.

        Raises:
            DataError: If there is no such picture, or several to choose from.
        """
        path = PurePosixPath(stated.replace("\\", "/"))
        for base in bases:
            if (name := normalised(f"{base}/{path}")) in self._names:
                return name
        candidates = self._by_last.get(path.name, [])
        parts = path.parts
        for length in range(len(parts), 0, -1):  # the longest common end decides
            ends = [name for name in candidates if PurePosixPath(name).parts[-length:] == parts[-length:]]
            if len(ends) == 1:
                return ends[0]
            if ends:
                raise DataError(
                    f"{place} names {stated!r}, which may be {first_few(ends, 3)} of {self._origin}: "
                    "state the folder, too"
                )
        raise DataError(
            f"{place} names {stated!r}, which is not among the {len(self._names)} pictures of {self._origin}: "
            "put it there, or take it out of the annotations"
        )


def normalised(path: str) -> str:
    """Returns a relative path without ``.`` and ``..``; what leads out of its root keeps nothing of that."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def part_of(path: str) -> Part | None:
    """Returns the part that a name such as ``instances_val2017.json`` or a folder ``valid`` tells; None for none.

    The folders nearest to the file decide after the name of the file.
    """
    for name in reversed(PurePosixPath(path).parts):
        words = "".join(letter if letter.isalpha() else " " for letter in PurePosixPath(name).stem.lower()).split()
        for word in words:
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def check_numbers(values: Iterable[object], place: str, expected: str) -> list[float]:
    """Returns finite numbers.

    Args:
        values: Numbers, or text that states them.
        place: Where they stand.
        expected: What would be right, for the message.

    Raises:
        DataError: If one is no finite number.
    """
    numbers = []
    for value in values:
        number = math.nan
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            with suppress(ValueError):
                number = float(value)
        if not math.isfinite(number):
            raise DataError(f"{place}: {value!r} is not a number: {expected}")
        numbers.append(number)
    return numbers


def check_corners(box: Sequence[float], place: str, expected: str) -> Box:
    """Returns a box whose edges are in order; zero width or height is allowed here, and told by the scan.

    Raises:
        DataError: If the right edge is left of the left one, or the bottom above the top.
    """
    left, top, right, bottom = box
    if right < left or bottom < top:
        raise DataError(f"{place}: the box {left:g}, {top:g}, {right:g}, {bottom:g} is turned inside out: {expected}")
    return left, top, right, bottom


def merge_pictures(pictures: Iterable[StatedPicture], origin: str) -> tuple[StatedPicture, ...]:
    """Sorts pictures by name.

    Raises:
        DataError: If a picture is stated twice.
    """
    by_name: dict[str, StatedPicture] = {}
    for picture in pictures:
        if picture.name in by_name:
            raise DataError(
                f"{origin}: {picture.name!r} is annotated more than once: name the one file of annotations to use"
            )
        by_name[picture.name] = picture
    return tuple(by_name[name] for name in sorted(by_name))


def decode_text(content: bytes, place: str) -> str:
    """Returns the text of a file; raises `DataError` if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{place}, line {line}: not UTF-8 text: save the file as UTF-8") from error


def check_same_classes(found: Mapping[str, tuple[str, ...]], origin: str) -> tuple[str, ...]:
    """Returns the classes that all files state.

    Raises:
        DataError: If they differ.
    """
    (first, classes), *others = found.items()
    for file, names in others:
        if names != classes:
            raise DataError(
                f"{origin}: {file} states the classes {first_few(names)}, but {first} states {first_few(classes)}: "
                "all parts of a set need the same ones, in the same order"
            )
    return classes
