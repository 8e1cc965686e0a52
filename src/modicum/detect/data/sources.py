"""What every set of pictures with boxes looks like to the rest of the wing, whatever it comes from."""

# H W size of a picture in px, N objects of a picture
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.contents import sample_digest
from modicum.datasets.sources import Part
from modicum.detect.boxes import Objects


@dataclass(frozen=True, slots=True)
class Record:
    """A picture of which nothing is known but its place.

    Attributes:
        id: Its name, unique in its source and the same on every machine.
        split: The part that the set itself puts it into; None where the set does not say.
        group: Name of the sequence that it is a frame of; None where its name tells of none.
    """

    id: str
    split: Part | None = None
    group: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture with its objects.

    Attributes:
        id: Its name.
        content: Gives the bytes of its file; raises `BadImageError`.
        size: Width and height in pixels, upright.
        objects: What is in it, in these pixels.
    """

    id: str
    content: Callable[[], bytes]
    size: tuple[int, int]
    objects: Objects


class DetectionSource(ABC):
    """A set of pictures with boxes. Sources can be pickled, and read from many threads and processes at once.

    Attributes:
        name: One line on what the set is.
        classes: Names of the classes; a label is an index into them.
        records: The pictures, in an order that does not depend on the machine.
        origin: The path it was read from, or ``"embedded:"`` and a name.
        unread: Files beside the pictures that may be pictures, but have no suffix that is read.
    """

    name: str
    classes: tuple[str, ...]
    records: Sequence[Record]
    origin: str
    unread: tuple[str, ...] = ()

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Returns picture ``index``, not decoded, with its objects; raises `BadImageError`.

        Boxes are cut off at the edges of the picture; those that are empty or wholly outside are left out.
        """

    @abstractmethod
    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns picture ``index`` upright, (H, W, 3) RGB, not to be written into; raises `BadImageError`."""

    @abstractmethod
    def faults(self, index: int) -> "BoxFaults":
        """Counts the boxes of picture ``index`` that are not as they should be; raises `BadImageError`."""

    @abstractmethod
    def digest(self, index: int) -> str:
        """Returns a short hash of the content of picture ``index``, equal for copies; raises `BadImageError`."""

    @final
    def seal(self, index: int) -> str:
        """Returns a short hash of picture ``index`` and its objects, to detect changes; raises `BadImageError`."""
        return sample_digest(self.digest(index).encode(), objects_digest(self.sample(index).objects, self.classes))


@dataclass(frozen=True)
class BoxFaults:
    """Counts boxes that the files state, but that cannot be used as they stand.

    Attributes:
        empty: Boxes without width or height, which are left out.
        outside: Boxes that lie wholly outside the picture, which are left out.
        cut: Boxes that reach beyond the picture by more than a pixel, and are cut off at its edges.
    """

    empty: int = 0
    outside: int = 0
    cut: int = 0

    @property
    def total(self) -> int:
        """Number of faulty boxes."""
        return self.empty + self.outside + self.cut

    def __add__(self, other: "BoxFaults") -> "BoxFaults":
        return BoxFaults(self.empty + other.empty, self.outside + other.outside, self.cut + other.cut)


def objects_digest(objects: Objects, classes: Sequence[str]) -> bytes:
    """Returns bytes that are equal for equal objects, whatever their order in the file."""
    rows = sorted(
        (classes[label], flag, *(round(edge, 2) for edge in box))
        for box, label, flag in zip(
            objects.boxes.tolist(), objects.labels.tolist(), objects.ignore.tolist(), strict=True
        )
    )
    return repr(rows).encode()
