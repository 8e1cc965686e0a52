"""The embedded default: real handwritten digits in drawn scenes, so that the right resolution differs per image.

A small digit needs all pixels, a large one is legible in a thumbnail. The digits are scikit-learn's (1,797 scans from
E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI, 1998); place, size, strokes and noise are
drawn.
"""
# N scenes, S side of a scene in px, D source digits of 8 x 8 px; coordinates in px, pixel i covers [i, i + 1)

from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.sources import ImageSource, Record
from modicum.datasets.contents import content_digest
from modicum.datasets.sources import PARTS
from modicum.storage.errors import DataError

SMALLEST_SIDE = 16

_SOURCE_COUNTS = (1200, 237, 360)  # of the 1,797 source digits
_DIGIT_SIZE_AT_48 = (9.0, 44.0)
_STROKES = 2
_STROKE_WIDTH_AT_48 = 1.0
_STROKE_LENGTH = (0.15, 0.35)  # of the side
_STROKE_INK = (0.15, 0.5)
_NOISE = 0.08  # standard deviation; ink is 1, paper 0
_CHUNK = 250  # scenes drawn at a time: 20 MB of temporaries at 48 px


@final
class DigitScenes(ImageSource):
    """Scenes with one real handwritten digit at a random place and size, two strokes of clutter, and noise.

    The size is log-uniform between 9/48 and 44/48 of the side. No source digit serves in two parts.

    Args:
        side: Height and width of a scene, px; at least 16.
        seed: The same seed gives the same scenes.
        sizes: Number of train, calibration and test scenes.

    Attributes:
        digit_size_px: Shape ``(N,)``, side of the digit of each scene, px, in the order of the records.
        source_digit: Shape ``(N,)``, which of scikit-learn's 1,797 digits each scene shows.

    Raises:
        DataError: If the side is below 16 or a part is empty.
    """

    def __init__(self, side: int = 48, seed: int = 0, sizes: tuple[int, int, int] = (8000, 2000, 4000)) -> None:
        from sklearn.datasets import load_digits

        if side < SMALLEST_SIDE or min(sizes) < 1:
            raise DataError(f"digit scenes need side >= {SMALLEST_SIDE} and at least one per part, got {side}, {sizes}")
        digits, labels = load_digits(return_X_y=True)
        pools = _split_sources(labels, seed)
        parts = [
            _draw(digits.reshape(-1, 8, 8) / 16.0, np.random.default_rng((seed, part)), pool, count, side)
            for part, (pool, count) in enumerate(zip(pools, sizes, strict=True))
        ]
        self.name = (
            f"real handwritten digits (scikit-learn) in procedurally drawn scenes, {side}x{side} px, seed {seed}"
        )
        self.origin = "embedded:digits-scenes"
        self.classes = tuple("0123456789")
        self.digit_size_px: NDArray[np.float32] = np.concatenate([scenes.size_px for scenes in parts])
        self.source_digit: NDArray[np.int64] = np.concatenate([scenes.source for scenes in parts])
        self.records = tuple(
            Record(f"{name}/{number:05d}", int(labels[source]), name)
            for name, scenes in zip(PARTS, parts, strict=True)
            for number, source in enumerate(scenes.source)
        )
        self._grey = np.concatenate([scenes.grey for scenes in parts])

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the pixels (side, side, 3), all channels equal; see `ImageSource.pixels`."""
        return np.repeat(self._grey[index][:, :, None], 3, axis=2)

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(self._grey[index].tobytes())


class _Scenes(NamedTuple):
    """One part of the set."""

    grey: NDArray[np.uint8]  # (N, S, S)
    size_px: NDArray[np.float32]  # (N,)
    source: NDArray[np.int64]  # (N,)


def _split_sources(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], ...]:
    """Indices of the source digits of the three parts, stratified by digit."""
    from sklearn.model_selection import train_test_split

    train, calibration, test = _SOURCE_COUNTS
    everything = np.arange(len(labels))
    rest, for_test = train_test_split(everything, test_size=test, stratify=labels, random_state=seed)
    for_train, for_calibration = train_test_split(
        rest, train_size=train, test_size=calibration, stratify=labels[rest], random_state=seed
    )
    return for_train, for_calibration, for_test


def _draw(
    digits: NDArray[np.float64], rng: np.random.Generator, pool: NDArray[np.int64], count: int, side: int
) -> _Scenes:
    """Draws ``count`` scenes with source digits from ``pool``; a loop of count / 250 chunks bounds the memory."""
    source = rng.choice(pool, count)
    low, high = (size * side / 48 for size in _DIGIT_SIZE_AT_48)
    size_px = np.exp(rng.uniform(np.log(low), np.log(high), count)).astype(np.float32)
    grey = np.empty((count, side, side), np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        ink = _place(digits[source[chunk]].astype(np.float32), size_px[chunk], rng, side)
        np.maximum(ink, _draw_strokes(len(ink), rng, side), out=ink)
        ink += _NOISE * rng.standard_normal(ink.shape, dtype=np.float32)
        grey[chunk] = np.rint(255 * ink.clip(0, 1))
    return _Scenes(grey, size_px, source)


def _place(
    digits: NDArray[np.float32], size_px: NDArray[np.float32], rng: np.random.Generator, side: int
) -> NDArray[np.float32]:
    """Digits (N, 8, 8) resized bilinearly to their sizes, at random places on empty scenes (N, S, S)."""
    corner = rng.random((2, len(digits)), dtype=np.float32) * (side - size_px)
    rows, columns = (_resize_weights(offset, size_px, side) for offset in corner)
    return np.asarray(rows @ digits @ columns.transpose(0, 2, 1), np.float32)


def _resize_weights(offset: NDArray[np.float32], size_px: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Returns the weight of the 8 source pixels in each pixel of a scene line: (N, S, 8), 0 away from the digit."""
    centres = np.arange(side, dtype=np.float32) + np.float32(0.5)
    position = (centres - offset[:, None]) * (8 / size_px[:, None]) - np.float32(0.5)  # (N, S), in source px
    reach = np.maximum(1, 8 / size_px)[:, None, None]  # wider than one source pixel when the digit shrinks
    distance = np.abs(position[:, :, None] - np.arange(8, dtype=np.float32)) / reach
    return np.asarray(np.maximum(0, 1 - distance) / reach, np.float32)


def _draw_strokes(count: int, rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Scenes (N, S, S) with a few straight strokes each."""
    middle = rng.random((2, count, _STROKES), dtype=np.float32) * side
    angle = rng.random((count, _STROKES), dtype=np.float32) * np.float32(np.pi)
    half_length = rng.uniform(*_STROKE_LENGTH, (count, _STROKES)).astype(np.float32) * (side / 2)
    ink = rng.uniform(*_STROKE_INK, (count, _STROKES)).astype(np.float32)
    centres = np.arange(side, dtype=np.float32) + np.float32(0.5)
    down = centres[:, None] - middle[0][..., None, None]  # (N, strokes, S, 1)
    right = centres[None, :] - middle[1][..., None, None]  # (N, strokes, 1, S)
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    along = np.abs(cosine * right + sine * down) - half_length[..., None, None]
    across = np.abs(cosine * down - sine * right) - np.float32(_STROKE_WIDTH_AT_48 * side / 96)
    coverage = np.clip(np.float32(0.5) - np.maximum(along, across), 0, 1)
    return np.asarray((coverage * ink[..., None, None]).max(axis=1), np.float32)
