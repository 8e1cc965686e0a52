"""Images that stand in the training and in the test part alike, which would make figures too good."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.saliency.data.sources import PairSource
from modicum.storage.errors import MissingExtraError

MAX_DISTANCE = 6  # bits of 64 in which perceptual hashes of one photograph differ after scaling and recompression
BITS = 64  # of a hash
_CHUNK = 256  # rows whose distances are in memory at once


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
    train: PairSource,
    train_indices: Sequence[int],
    test: PairSource,
    test_indices: Sequence[int],
    *,
    max_distance: int = MAX_DISTANCE,
) -> tuple[Duplicate, ...]:
    """Pairs of training and test images whose perceptual hashes nearly agree, closest first.

    The known sets overlap in places (MSRA10K and MSRA-B share images; SOD and ECSSD share sources), hence two sources,
    which may be the same one.

    Takes memory for the distances of some hundred test images to all training images at a time.

    Args:
        train: Source of the training images.
        train_indices: Which of its records.
        test: Source of the test images.
        test_indices: Which of its records.
        max_distance: Bits of 64 that may differ.

    Raises:
        MissingExtraError: If imagehash is not installed.
    """
    bits_train, bits_test = (_hashes(*each) for each in ((train, train_indices), (test, test_indices)))
    found = (
        Duplicate(train.records[train_indices[column]].id, test.records[test_indices[row]].id, distance)
        for row, column, distance in near_pairs(bits_test, bits_train, max_distance)
    )
    return tuple(sorted(found, key=lambda pair: (pair.distance, pair.test, pair.train)))


def near_pairs(some: NDArray[np.bool_], others: NDArray[np.bool_], max_distance: int) -> Iterator[tuple[int, int, int]]:
    """Rows of two arrays of bits, (m, 64) and (n, 64), that differ in few, as (row, row of the others, distance).

    Bits taken as -1 and 1 have the scalar product 64 - 2 x distance, exact in float32; one product of 256 rows at a
    time needs 1 KiB per row of the others, where comparing all bits of all pairs would need 64 m n bytes.
    """
    left, right = (np.where(bits, np.float32(1), np.float32(-1)) for bits in (some, others))
    for start in range(0, len(left), _CHUNK):
        distances = (BITS - left[start : start + _CHUNK] @ right.T) / 2
        for row, column in np.argwhere(distances <= max_distance).tolist():
            yield start + row, column, int(distances[row, column])


def _hashes(source: PairSource, indices: Sequence[int]) -> NDArray[np.bool_]:
    """Perceptual hashes (n, 64)."""
    imagehash = _imagehash()
    pictures = (Image.fromarray(source.pair(index).pixels) for index in indices)
    return np.array([imagehash.phash(picture).hash.ravel() for picture in pictures], dtype=bool).reshape(-1, BITS)


def _imagehash() -> Any:  # noqa: ANN401  an optional module
    try:
        import imagehash
    except ImportError as error:
        raise MissingExtraError("imagehash", "saliency") from error
    return imagehash
