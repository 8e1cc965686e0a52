"""The two problems on photographs: the brightness of the next pixel, and brightness as a function of the place.

Which problems these are is from Khashin and Shemyakova, "Growing an architecture for a neural network" (2021), as far
as its abstract tells; neighbourhood, sizes, splits and images are ours.
"""

# H W size of an image in px, N points, F inputs
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from modicum.graphs.activations import Array
from modicum.storage.errors import DataError

CONTEXT = {
    "W": (0, -1),
    "N": (-1, 0),
    "NW": (-1, -1),
    "NE": (-1, 1),
    "WW": (0, -2),
    "NN": (-2, 0),
    "NWW": (-1, -2),
    "NEE": (-1, 2),
    "NNW": (-2, -1),
    "NNE": (-2, 1),
    "WWW": (0, -3),
    "NNWW": (-2, -2),
}
"""The pixels that the next one is predicted from, nearest first: rows and columns away, by compass."""
BLOCK = 64  # side in px of the squares that are divided between fitting and testing, like those of a chessboard
EXTENT = 2.0  # coordinates of the image function run from -EXTENT to EXTENT
FILTER_TRUNCATE = 4.0  # standard deviations that the filter before sampling reaches


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples to fit or to test on.

    Attributes:
        inputs: (N, F).
        targets: (N,) numbers, or numbers of classes, int64.
    """

    inputs: Array
    targets: NDArray[np.float64] | NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        """The points of these numbers."""
        return Samples(self.inputs[rows], self.targets[rows])

    def sample(self, count: int, rng: np.random.Generator) -> "Samples":
        """``count`` points drawn without repetition, in their order; all where there are no more."""
        if len(self) <= count:
            return self
        return self.take(np.sort(rng.choice(len(self), count, replace=False)))


def sample_brightness(image: Array, rows: int, columns: int, *, offset: float = 0.0) -> Array:
    """An image on a coarser grid, (rows, columns), each value smoothed so that it stands for its cell.

    Args:
        image: (H, W).
        rows: At most H.
        columns: At most W.
        offset: Of the grid, in cells to the right and down.
    """
    height, width = image.shape
    factors = np.array([height / rows, width / columns])
    smooth = gaussian_filter(image, np.maximum((factors - 1) / 2, 0), mode="mirror", truncate=FILTER_TRUNCATE)
    places = [(np.arange(n) + 0.5 + offset) * f - 0.5 for n, f in zip((rows, columns), factors, strict=True)]
    sampled: Array = map_coordinates(smooth, np.meshgrid(*places, indexing="ij"), order=1, mode="mirror")
    return sampled


def coordinates(rows: int, columns: int, *, offset: float = 0.0) -> Array:
    """The inputs x and y of every point of a grid, (rows * columns, 2): x to the right, y down, both in [-2, 2]."""
    axes = [np.linspace(-EXTENT, EXTENT, n) if n > 1 else np.zeros(1) for n in (columns, rows)]
    steps = [2 * EXTENT / max(n - 1, 1) for n in (columns, rows)]
    x, y = np.meshgrid(*(axis + offset * step for axis, step in zip(axes, steps, strict=True)))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def image_function(image: Array, side: int) -> tuple[Samples, Samples]:
    """Brightness as a function of x and y: every point of a grid to fit, and points between them to test.

    Args:
        image: (H, W) in [0, 1].
        side: Samples along the longer side of the grid.

    Raises:
        DataError: If the image is smaller than the grid.
    """
    height, width = image.shape
    if max(height, width) < side:
        raise DataError(f"an image of {width}x{height} px has no grid of {side} points: choose a smaller grid")
    rows, columns = grid_size((height, width), side)
    fitted = Samples(coordinates(rows, columns), sample_brightness(image, rows, columns).ravel())
    between = sample_brightness(image, rows, columns, offset=0.5)[:-1, :-1]
    places = coordinates(rows, columns, offset=0.5).reshape(rows, columns, 2)[:-1, :-1]
    return fitted, Samples(places.reshape(-1, 2), between.ravel())


def grid_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of a grid over an image (H, W) whose longer side has ``side`` points; 2 at least."""
    longest = max(size)
    rows, columns = (max(2, round(side * length / longest)) for length in size)
    return rows, columns


def next_pixel(image: Array) -> tuple[Samples, NDArray[np.int64]]:
    """Every pixel whose whole context lies in its own square of the chessboard, in raster order.

    Args:
        image: (H, W) in [0, 1].

    Returns:
        The pixels with their contexts as inputs, in the order of `CONTEXT`, and row and column of each one's square,
        (N, 2); a square is white where these add up to an odd number.

    Raises:
        DataError: If no pixel has a context, or the image lacks squares of one colour.
    """
    height, width = image.shape
    rows, columns = np.mgrid[:height, :width]
    inside = np.ones(image.shape, dtype=bool)
    for row, column in CONTEXT.values():
        inside &= (rows % BLOCK + row >= 0) & (columns % BLOCK + column >= 0)
        inside &= (columns % BLOCK + column < BLOCK) & (columns + column < width)
    white = (rows // BLOCK + columns // BLOCK) % 2 == 1
    if not (inside & white).any() or not (inside & ~white).any():
        raise DataError(
            f"an image of {width}x{height} px has no squares of both colours of {BLOCK} px, by which fitting and "
            f"testing are kept apart: give one that is wider or higher than {BLOCK} px"
        )
    at, across = np.nonzero(inside)
    inputs = np.stack([image[at + row, across + column] for row, column in CONTEXT.values()], axis=1)
    return Samples(inputs, image[at, across]), np.stack([at, across], axis=1) // BLOCK


def whole_context(image: Array) -> Array:
    """The contexts of all pixels of an image in raster order, (H * W, 12); beyond its edges the nearest pixels do."""
    above, beside = 2, 3
    padded = np.pad(image, ((above, 0), (beside, beside)), mode="edge")
    height, width = image.shape
    parts = [
        padded[above + row : above + row + height, beside + column : beside + column + width].ravel()
        for row, column in CONTEXT.values()
    ]
    return np.stack(parts, axis=1)


def left_pixel(inputs: Array) -> Array:
    """The simplest guess at the next pixel (N,): the last one."""
    return inputs[:, list(CONTEXT).index("W")]


def median_edge(inputs: Array) -> Array:
    """The guess (N,) of JPEG-LS: the median of W, N and W + N - NW, which follows edges (Weinberger et al., 2000)."""
    west, north, corner = (inputs[:, list(CONTEXT).index(name)] for name in ("W", "N", "NW"))
    guess: Array = np.median(np.stack([west, north, west + north - corner]), axis=0)
    return guess
