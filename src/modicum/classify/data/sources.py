"""What every labelled image set looks like to the rest of the wing, whatever files it comes from."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.datasets.sources import Part
from modicum.storage.errors import DataError, first_few


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image.

    Attributes:
        id: Name of the image, unique in its source and the same on every machine.
        label: Index into the classes of the source.
        split: ``"train"``, ``"calibration"`` or ``"test"`` where the set itself says so, else None.
    """

    id: str
    label: int
    split: Part | None


class ImageSource(ABC):
    """A set of labelled images. Sources can be pickled, and read from many threads and processes at once.

    Attributes:
        name: One line on what the set is and where it comes from.
        classes: Class names; a label is an index into them.
        records: The images, in an order that does not depend on the machine.
        origin: The path it was read from, or ``"embedded:"`` and the name of the set.
        unread: Files beside the images that may be pictures, but have no suffix that is read.
    """

    name: str
    classes: tuple[str, ...]
    records: Sequence[Record]
    origin: str
    unread: tuple[str, ...] = ()

    @abstractmethod
    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns image ``index`` upright, (H, W, 3) uint8 RGB, not to be written into; raises `BadImageError`."""

    @abstractmethod
    def digest(self, index: int) -> str:
        """Returns a short hash of the content of image ``index``, equal for copies; raises `BadImageError`."""

    @final
    def open(self, index: int) -> Image.Image:
        """Returns image ``index`` upright as an RGB picture; raises `BadImageError`."""
        return Image.fromarray(self.pixels(index))


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as a reader finds it, before class names have become labels."""

    id: str
    class_name: str
    split: Part | None


def label_entries(entries: Iterable[Entry], origin: str) -> tuple[tuple[str, ...], tuple[Record, ...]]:
    """Returns sorted class names, and the entries as labelled records in the given order.

    Raises:
        DataError: If there are fewer than two classes, or a part of the set lacks classes that another part has.
    """
    found = tuple(entries)
    classes = tuple(sorted({entry.class_name for entry in found}))
    if len(classes) < 2:
        raise DataError(f"{origin} holds {len(classes)} class(es) {list(classes)}: a classifier needs at least two")
    _check_same_classes(found, set(classes), origin)
    label_of = {name: label for label, name in enumerate(classes)}
    return classes, tuple(Record(entry.id, label_of[entry.class_name], entry.split) for entry in found)


def _check_same_classes(entries: Sequence[Entry], classes: set[str], origin: str) -> None:
    by_split: dict[Part | None, set[str]] = {}
    for entry in entries:
        by_split.setdefault(entry.split, set()).add(entry.class_name)
    for split, names in by_split.items():
        if missing := sorted(classes - names):
            raise DataError(
                f"{origin}: the {split or 'unassigned'} part has no images of {first_few(missing)}, which other parts "
                "have; give every part the same classes"
            )
