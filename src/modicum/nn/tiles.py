"""How an image is cut into equal tiles, and what a network makes of them is put together again; numpy alone.

The network sees overlapping windows. Of each, what lies within the *halo* of a side where the image goes on is thrown
away, for there the window's edge shows; between the kept parts lies a short linear *feather*. A window at the border of
the image keeps what the network gives there, so that a network that looks no further than the halo gives exactly
what it gives for the whole image. Windows start at multiples of the network's strides, and reflection completes the
last one. Results are blended in fp32, in a band of one row of tiles, and finished rows leave it for the output.
"""
# B batch, C channels, H W pixels of the image, h w of a window, s scale

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

ArrayNetwork = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut. All lengths are pixels of the network's input.

    Attributes:
        tile: Side of a window; an image's side that is not longer is not cut.
        halo: Number of pixels discarded at each inner side of a window.
        feather: Width of the linear transition between neighbours; 0 is a hard seam.
        batch: Windows that run together.
        multiple: The sides of the network's input must be multiples of this.
        is_fixed: Whether all windows have the full side, as exported graphs need: reflection completes smaller images.
    """

    tile: int = 128
    halo: int = 16
    feather: int = 4
    batch: int = 1
    multiple: int = 2
    is_fixed: bool = False

    def __post_init__(self) -> None:
        if self.halo < 0 or self.feather < 0 or self.batch < 1 or self.multiple < 1:
            raise ValueError(f"halo and feather must be at least 0, batch and multiple at least 1, got {self}")
        least = smallest_tile(self.halo, self.feather, self.multiple)
        if self.tile < least or self.tile % self.multiple:
            raise ValueError(
                f"tile must be a multiple of {self.multiple} and at least {least}, for a halo of {self.halo} at both "
                f"sides and a feather of {self.feather}; got {self.tile}"
            )

    def windows(self, length: int) -> list[tuple[int, int]]:
        """Returns start and end (excluded) of the windows along a side of ``length`` pixels; the last may exceed it."""
        padded = _rounded_up(length, self.multiple)
        if padded <= self.tile:
            return [(0, self.tile if self.is_fixed else padded)]
        longest_step = (self.tile - 2 * self.halo - self.feather) // self.multiple
        way = (padded - self.tile) // self.multiple
        steps = math.ceil(way / longest_step)
        starts = [step * way // steps * self.multiple for step in range(steps + 1)]
        return [(start, start + self.tile) for start in starts]

    def count(self, height: int, width: int) -> int:
        """Returns the number of windows of an image."""
        return len(self.windows(height)) * len(self.windows(width))

    def work_factor(self, height: int, width: int) -> float:
        """Pixels that the network sees over pixels of the image."""
        seen = math.prod(sum(end - start for start, end in self.windows(side)) for side in (height, width))
        return seen / (height * width)

    def halved(self) -> Self | None:
        """Returns the tiling with half the batch or, at batch 1, half the tile; None if it cannot be smaller."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        least = smallest_tile(self.halo, self.feather, self.multiple)
        tile = max(self.tile // 2 // self.multiple * self.multiple, least)
        return replace(self, tile=tile) if tile < self.tile else None


def smallest_tile(halo: int, feather: int, multiple: int) -> int:
    """Returns the side in pixels of the smallest window that keeps any pixel."""
    return _rounded_up(2 * halo + feather + multiple, multiple)


def plan_tiling(
    height: int,
    width: int,
    *,
    memory_bytes: float,
    bytes_per_pixel: float,
    channels: int = 3,
    scale: int = 1,
    preferred: Tiling | None = None,
) -> Tiling:
    """Returns the tiling whose run stays within a bound on memory, whatever the image's size.

    The bound is on what `run_tiled` takes beyond the image and the output. The tile is the preferred one if it fits,
    else the largest that does; the batch is the largest that fits, up to the preferred one.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        memory_bytes: The bound.
        bytes_per_pixel: Peak memory of the network per pixel of its input.
        channels: Channels of the results.
        scale: Sides of the results over those of the image.
        preferred: None is ``Tiling()``.

    Raises:
        ValueError: If even the smallest tile does not fit; the message says how much memory it needs.

    Example:
        >>> tiling = plan_tiling(3000, 4000, memory_bytes=2**28, bytes_per_pixel=20_000)
        >>> tiling.tile < Tiling().tile or tiling.batch < Tiling().batch
        True
    """
    preferred = Tiling() if preferred is None else preferred
    least = smallest_tile(preferred.halo, preferred.feather, preferred.multiple)
    needed = 0.0
    for tile in range(preferred.tile, least - 1, -preferred.multiple):
        tiling = replace(preferred, tile=tile, batch=1)
        rows, columns = (tiling.windows(side)[0][1] for side in (height, width))
        band = 4 * channels * scale**2 * rows * max(width, columns)
        of_window = bytes_per_pixel * rows * columns
        fitting = int((memory_bytes - band) // of_window)
        if fitting >= 1:
            return replace(tiling, batch=min(fitting, preferred.batch))
        needed = band + of_window
    raise ValueError(
        f"memory_bytes of {memory_bytes:,.0f} are too few: the smallest tile, {least} pixels, takes {needed:,.0f}"
    )


def run_in_tiles(
    network: ArrayNetwork,
    image: NDArray[Any],
    tiling: Tiling,
    *,
    scale: int = 1,
    output: NDArray[Any] | None = None,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Runs ``network`` on an image in tiles; `modicum.nn.tiling.run_tiled` does the same for PyTorch.

    Args:
        network: Called with float32 (B, C, h, w), values as in the image, sides multiples of ``tiling.multiple``; gives
            float32 (B, C', s h, s w).
        image: Shape (C, H, W), any numeric dtype; may be memory-mapped.
        tiling: How to cut; see `plan_tiling` for one that fits a bound.
        scale: Sides s of the result over those of the image.
        output: Where to write (C', s H, s W); may be memory-mapped. Whole numbers are rounded and clipped to their
            dtype's range. None makes a float32 array.
        progress: Called after each batch with the number of windows done and their total.

    Returns:
        ``output``, filled.

    Raises:
        ValueError: If the image or the output is not such an array, or the network's results have another size.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image must be (C, H, W) with at least one pixel, got {image.shape}")
    height, width = image.shape[1:]
    rows, columns = tiling.windows(height), tiling.windows(width)
    row_weights, column_weights = (_weights(spans, tiling.feather, scale) for spans in (rows, columns))
    band, done = None, 0
    for number, row in enumerate(rows):
        for first in range(0, len(columns), tiling.batch):
            spans = columns[first : first + tiling.batch]
            results = _run_batch(network, [_cut(image, row, span) for span in spans], scale)
            if band is None:
                band = _Band(results.shape[1], scale * (row[1] - row[0]), scale * columns[-1][1])
            for offset, (result, (left, _)) in enumerate(zip(results, spans, strict=True)):
                band.add(result, scale * left, np.outer(row_weights[number], column_weights[first + offset]))
            done += len(spans)
            if progress is not None:
                progress(done, len(rows) * len(columns))
        assert band is not None  # a row has columns
        output = _checked(output, (len(band.values), scale * height, scale * width))
        end = rows[number + 1][0] if number + 1 < len(rows) else height
        band.release(output[:, scale * row[0] : scale * end])
    assert output is not None  # an image has rows
    return output


class _Band:
    """The rows of the result that may still change, blended in fp32."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.values = np.zeros((channels, height, width), np.float32)

    def add(self, result: NDArray[np.float32], left: int, weights: NDArray[np.float32]) -> None:
        """Adds a window's result (C, h, w) from column ``left`` on, weighted by (h, w)."""
        self.values[:, :, left : left + result.shape[2]] += result * weights

    def release(self, output: NDArray[Any]) -> None:
        """Writes the uppermost rows, as many as ``output`` (C, rows, W) has, and moves up the others."""
        rows = output.shape[1]
        finished = self.values[:, :rows, : output.shape[2]]
        if np.issubdtype(output.dtype, np.integer):
            limits = np.iinfo(output.dtype)
            np.rint(np.clip(finished, limits.min, limits.max, out=finished), out=finished)
        output[...] = finished
        self.values[:, : self.values.shape[1] - rows] = self.values[:, rows:]
        self.values[:, -rows:] = 0


def _run_batch(network: ArrayNetwork, windows: Sequence[NDArray[np.float32]], scale: int) -> NDArray[np.float32]:
    batch = np.stack(windows)
    results = network(batch)
    height, width = batch.shape[2:]
    if results.ndim != 4 or results.shape[2:] != (scale * height, scale * width):
        raise ValueError(
            f"the network made {results.shape} of {batch.shape}, where scale {scale} says sides of "
            f"{scale * height} and {scale * width}"
        )
    return results


def _cut(image: NDArray[Any], row: tuple[int, int], column: tuple[int, int]) -> NDArray[np.float32]:
    """Returns a window (C, h, w) of the image; rows and columns beyond its edge are reflected."""
    window = image[:, slice(*row), slice(*column)].astype(np.float32)
    for axis, (start, end) in ((1, row), (2, column)):
        if window.shape[axis] < end - start:
            window = window.take(_reflected(end - start, window.shape[axis]), axis=axis)
    return window


def _reflected(length: int, available: int) -> NDArray[np.intp]:
    """Indices of ``length`` pixels of which ``available`` exist: there and back, as often as it takes."""
    there_and_back = np.concatenate([np.arange(available), np.arange(available - 2, 0, -1)])
    return np.resize(there_and_back, length)


def _weights(spans: Sequence[tuple[int, int]], feather: int, scale: int) -> list[NDArray[np.float32]]:
    """Returns the weight of each window's pixels (s h,) in the result; at every pixel the weights sum to 1.

    The transition between two windows lies in the middle of their overlap.
    """
    middles = [(following + end) / 2 for (_, end), (following, _) in pairwise(spans)]
    weights = []
    for number, (start, end) in enumerate(spans):
        positions = (np.arange(scale * start, scale * end) + 0.5) / scale
        rising = _ramp(positions, middles[number - 1], feather) if number else np.ones(len(positions))
        falling = _ramp(positions, middles[number], feather) if number < len(middles) else 0.0
        weights.append((rising - falling).astype(np.float32))
    return weights


def _ramp(positions: NDArray[np.float64], middle: float, width: int) -> NDArray[np.float64]:
    """Rises from 0 to 1 over ``width`` pixels around ``middle``."""
    if width == 0:
        return (positions >= middle).astype(np.float64)
    return np.clip((positions - middle) / width + 0.5, 0, 1)


def _checked(output: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any]:
    if output is None:
        return np.empty(shape, np.float32)
    if output.shape != shape:
        raise ValueError(f"output must have the result's shape {shape}, got {output.shape}")
    return output


def _rounded_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
