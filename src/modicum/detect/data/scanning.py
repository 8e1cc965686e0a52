"""One pass over a set before training: which pictures can be decoded, and which boxes are faulty."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.scan import Scan, inspect_all, require_clean
from modicum.detect.boxes import areas
from modicum.detect.data.sources import BoxFaults, DetectionSource, objects_digest
from modicum.prediction import Failure
from modicum.storage.errors import DataError


@dataclass(frozen=True)
class BoxScan:
    """Holds what a pass found, of the pictures that can be used.

    Attributes:
        pictures: Which pictures these are.
        sizes: Width and height of each.
        objects: Number of objects of each class in each, shape (pictures, classes); ignored ones are not counted.
        ignored: Number of ignored objects and crowds in all of them.
        sides_px: Square roots of the areas of all counted objects, ascending.
        faults: Boxes that cannot be used as they stand, in all of them.
    """

    pictures: Scan
    sizes: tuple[tuple[int, int], ...]
    objects: NDArray[np.int64]
    ignored: int
    sides_px: NDArray[np.float64]
    faults: BoxFaults

    @property
    def empty(self) -> int:
        """Number of pictures without objects that count."""
        return int((self.objects.sum(axis=1) == 0).sum())

    def require_sound(self, origin: str) -> None:
        """Raises `DataError` if a box cannot be used as it stands."""
        if self.faults.total:
            raise DataError(
                f"boxes of {origin} are faulty: {self.faults.empty} have no area, {self.faults.outside} lie outside "
                f"their picture, {self.faults.cut} reach beyond it: correct them, or leave strict out"
            )


@dataclass(frozen=True)
class _Finding:
    digest: str
    objects_digest: bytes
    size: tuple[int, int]
    counts: NDArray[np.int64]
    ignored: int
    sides_px: NDArray[np.float64]
    faults: BoxFaults


def scan(
    source: DetectionSource,
    *,
    keep_contradictions: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BoxScan:
    """Decodes every picture of a source once, in threads.

    Args:
        source: The pictures.
        keep_contradictions: Also use copies of a picture whose objects differ.
        progress: Called with the number of pictures done and their total after each.

    Raises:
        DataError: If no picture can be used, or there is no object in any of them.
    """
    findings = inspect_all(source, partial(_inspect, source), progress)
    found = Scan.of(source, (each if isinstance(each, Failure) else each.digest for each in findings))
    if not found.good:
        require_clean(found, source.origin)
    if not keep_contradictions:
        annotations = [None if isinstance(each, Failure) else each.objects_digest for each in findings]
        found = found.without_contradictions(source, annotations)
    of = {index: each for index, each in enumerate(findings) if isinstance(each, _Finding)}
    kept = [of[index] for index in found.good]
    counts = np.array([each.counts for each in kept], np.int64).reshape(-1, len(source.classes))
    if not counts.any():
        raise DataError(f"none of the {len(kept)} pictures of {source.origin} has an object: there is nothing to learn")
    return BoxScan(
        found,
        tuple(each.size for each in kept),
        counts,
        sum(each.ignored for each in kept),
        np.sort(np.concatenate([each.sides_px for each in kept])),
        sum((each.faults for each in kept), BoxFaults()),
    )


def _inspect(source: DetectionSource, index: int) -> _Finding:
    sample = source.sample(index)
    source.pixels(index)  # to see that it can be decoded
    objects = sample.objects
    counted = objects.take(~objects.ignore)
    return _Finding(
        source.digest(index),
        objects_digest(objects, source.classes),
        sample.size,
        np.bincount(counted.labels.numpy(), minlength=len(source.classes)),
        int(objects.ignore.sum()),
        areas(counted.boxes).double().sqrt().numpy(),
        source.faults(index),
    )
