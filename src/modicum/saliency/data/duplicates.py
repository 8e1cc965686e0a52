"""Images that stand in the training and in the test part alike, which would make figures too good."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.saliency.data.sources import PairSource
from modicum.storage.errors import MissingExtraError

MAX_DISTANCE = 6  # bits of 64 in which perceptual hashes of one photograph differ after scaling and recompression


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
    if not len(bits_train) or not len(bits_test):
        return ()
    distance = (bits_test[:, None, :] != bits_train[None]).sum(axis=2)
    rows, columns = np.nonzero(distance <= max_distance)
    found = (
        Duplicate(
            train.records[train_indices[column]].id, test.records[test_indices[row]].id, int(distance[row, column])
        )
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    )
    return tuple(sorted(found, key=lambda pair: (pair.distance, pair.test, pair.train)))


def _hashes(source: PairSource, indices: Sequence[int]) -> NDArray[np.bool_]:
    """Perceptual hashes (n, 64)."""
    imagehash = _imagehash()
    pictures = (Image.fromarray(source.pair(index).pixels) for index in indices)
    return np.array([imagehash.phash(picture).hash.ravel() for picture in pictures], dtype=bool).reshape(-1, 64)


def _imagehash() -> Any:  # noqa: ANN401  an optional module
    try:
        import imagehash
    except ImportError as error:
        raise MissingExtraError("imagehash", "saliency") from error
    return imagehash
