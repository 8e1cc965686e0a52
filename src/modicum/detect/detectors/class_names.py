"""Detections under other labels: those of a data set's classes, or only some of a detector's own."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import Detector, MappingDetector
from modicum.storage.errors import DataError, first_few

NO_CLASS = ("__background__", "N/A")
"""Names that torchvision has for labels that stand for nothing."""


@final
class RelabelledDetector:
    """Keeps the detections of some classes, under new labels.

    Args:
        detector: Whose detections.
        classes: Names of the classes to keep, in the order of the new labels; letters' case does not matter.
        renamed: Names of the detector by those in ``classes``, where they differ.

    Attributes:
        new_labels: The new label of each of the detector's, -1 for none.

    Raises:
        DataError: If a class is unknown to the detector; the message names similar ones.

    Example:
        >>> from modicum.detect.detectors.callable_detector import CallableDetector
        >>> cars = RelabelledDetector(CallableDetector(lambda images: [], ["__background__", "person", "car"]), ["car"])
        >>> cars.classes
        ('car',)
    """

    def __init__(self, detector: Detector, classes: Sequence[str], renamed: Mapping[str, str] | None = None) -> None:
        self.detector, self._classes = detector, tuple(classes)
        own = {name.casefold(): label for label, name in enumerate(detector.classes) if name not in NO_CLASS}
        self.new_labels = torch.full((len(detector.classes),), -1, dtype=torch.int64)
        for label, name in enumerate(classes):
            wanted = (renamed or {}).get(name, name)
            if wanted.casefold() not in own:
                known = first_few([name for name in detector.classes if name not in NO_CLASS], 20)
                raise DataError(f"the detector has no class {wanted!r}; it has {known}")
            self.new_labels[own[wanted.casefold()]] = label

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are kept."""
        return self._classes

    @property
    def squeezes_to(self) -> tuple[int, int] | None:
        """Of the detector; see `Detector.squeezes_to`."""
        return self.detector.squeezes_to

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns the detections of these classes in each image; see `Detector.detect`."""
        return [self._relabel(found) for found in self.detector.detect(images)]

    def detect_with_maps(self, images: Sequence[Tensor]) -> list[tuple[Detections, Tensor]]:
        """Returns the detections of these classes, and features; see `MappingDetector`.

        Raises:
            TypeError: If the detector shows no features of the whole image.
        """
        if not isinstance(self.detector, MappingDetector):
            raise TypeError(f"{type(self.detector).__name__} shows no features of the whole image")
        return [(self._relabel(found), features) for found, features in self.detector.detect_with_maps(images)]

    def macs(self, height: int, width: int) -> int | None:
        """Counts the multiply-adds of the detector; see `Detector.macs`."""
        return self.detector.macs(height, width)

    def _relabel(self, found: Detections) -> Detections:
        labels = self.new_labels[found.labels]
        known = labels >= 0
        kept = found.take(known)
        return Detections(kept.boxes, kept.scores, labels[known], kept.features)
