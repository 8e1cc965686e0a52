"""A set seen through other classes, or a part of a set."""

from collections.abc import Iterable, Mapping, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from modicum.detect.boxes import Objects
from modicum.detect.data.sources import BoxFaults, DetectionSource, Sample
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few


@final
class SelectedPictures(DetectionSource):
    """Some pictures of a source, with some of its classes, perhaps under one name.

    Args:
        source: The whole set.
        indices: Which pictures; None for all.
        classes: The classes of this set, each with those of the source that it stands for; objects of other classes are
            left out. None keeps the classes as they are.

    Raises:
        DataError: If a class is unknown or stands in two, or nothing is left.

    Example:
        >>> from modicum.detect.data.scenes import ScatteredMarks
        >>> marks = SelectedPictures(ScatteredMarks(sizes=(2, 1, 1)), classes={"mark": ("ring", "cross")})
        >>> marks.classes, len(marks.records)
        (('mark',), 4)
    """

    def __init__(
        self,
        source: DetectionSource,
        indices: Iterable[int] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._source = source
        self._indices = tuple(range(len(source.records)) if indices is None else indices)
        given = {name: (name,) for name in source.classes} if classes is None else classes
        self.classes = tuple(given)
        self._label_of = _labels(source, given)
        if not self._indices or not self.classes:
            raise DataError(f"no {'class' if self._indices else 'picture'} of {source.origin} was selected")
        self.records = tuple(source.records[index] for index in self._indices)
        self.origin, self.unread = source.origin, source.unread
        self.name = (
            f"{source.name}: {counted(len(self.records), 'picture')}, {counted(len(self.classes), 'class', 'classes')}"
        )

    def sample(self, index: int) -> Sample:
        """Returns a picture with the objects of these classes; see `DetectionSource.sample`."""
        found = self._source.sample(self._indices[index])
        labels = self._label_of[found.objects.labels]
        known = labels >= 0
        objects = Objects(found.objects.boxes[known], labels[known], found.objects.ignore[known])
        return Sample(found.id, found.content, found.size, objects)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the decoded picture; see `DetectionSource.pixels`."""
        return self._source.pixels(self._indices[index])

    def faults(self, index: int) -> BoxFaults:
        """Counts faulty boxes of all classes; see `DetectionSource.faults`."""
        return self._source.faults(self._indices[index])

    def digest(self, index: int) -> str:
        """Returns the digest of the picture; see `DetectionSource.digest`."""
        return self._source.digest(self._indices[index])


def _labels(source: DetectionSource, classes: Mapping[str, Sequence[str]]) -> torch.Tensor:
    """Returns the new label of each class of a source; -1 for those that are left out."""
    label_of = torch.full((len(source.classes),), -1, dtype=torch.int64)
    for label, members in enumerate(classes.values()):
        for member in members:
            if member not in source.classes:
                raise DataError(
                    f"{source.origin} has no class {member!r}; its classes are {first_few(source.classes, 20)}"
                )
            place = source.classes.index(member)
            if label_of[place] >= 0:
                raise DataError(f"the class {member!r} stands in two of the classes selected: name it once")
            label_of[place] = label
    return label_of
