"""Images that stand in the training and in the test part alike, which would make figures too good."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.storage.errors import MissingExtraError

MAX_DISTANCE = 6  # bits of 64 in which perceptual hashes of one photograph differ after scaling and recompression
BITS = 64  # of a hash
_CHUNK = 256  # rows whose distances are in memory at once

Picture: TypeAlias = tuple[str, NDArray[np.uint8]]
"""Id and pixels (H, W, 3) of an image."""


@dataclass(frozen=True)
class Duplicate:
    """Two images that look the same.

    Attributes:
        train: Id of the training image.
        test: Id of the test image.
        distance: Bits of 64 in which their perceptual hashes differ.
    """

    train: str
    test: str
    distance: int


def find_duplicates(
    train: Iterable[Picture], test: Iterable[Picture], *, max_distance: int = MAX_DISTANCE
) -> tuple[Duplicate, ...]:
    """Finds pairs of training and test images whose perceptual hashes nearly agree, closest first.

    Known sets overlap in places (MSRA10K and MSRA-B share images; SOD and ECSSD share sources). One picture is in
    memory at a time, and the distances of some hundred test images to all training images.

    Args:
        train: Id and pixels of each training image.
        test: The same of the test images.
        max_distance: Bits of 64 that may differ.

    Raises:
        MissingExtraError: If imagehash is not installed.
    """
    (train_ids, train_bits), (test_ids, test_bits) = _hashes(train), _hashes(test)
    found = (
        Duplicate(train_ids[column], test_ids[row], distance)
        for row, column, distance in near_pairs(test_bits, train_bits, max_distance)
    )
    return tuple(sorted(found, key=lambda pair: (pair.distance, pair.test, pair.train)))


def near_pairs(some: NDArray[np.bool_], others: NDArray[np.bool_], max_distance: int) -> Iterator[tuple[int, int, int]]:
    """Yields (row, row of the others, distance) for rows of bits, (m, 64) and (n, 64), that differ in few bits.

    Bits taken as -1 and 1 have the scalar product 64 - 2 x distance, exact in float32; one product of 256 rows at a
    time needs 1 KiB per row of the others, where comparing all bits of all pairs would need 64 m n bytes.
    """
    left, right = (np.where(bits, np.float32(1), np.float32(-1)) for bits in (some, others))
    for start in range(0, len(left), _CHUNK):
        distances = (BITS - left[start : start + _CHUNK] @ right.T) / 2
        for row, column in np.argwhere(distances <= max_distance).tolist():
            yield start + row, column, int(distances[row, column])


def _hashes(pictures: Iterable[Picture]) -> tuple[list[str], NDArray[np.bool_]]:
    """Returns ids and perceptual hashes (n, 64)."""
    imagehash = _imagehash()
    hashes = {name: imagehash.phash(Image.fromarray(pixels)).hash.ravel() for name, pixels in pictures}
    return list(hashes), np.array(list(hashes.values()), dtype=bool).reshape(-1, BITS)


def _imagehash() -> ModuleType:
    try:
        return import_module("imagehash")
    except ImportError as error:
        raise MissingExtraError("imagehash", "saliency") from error
