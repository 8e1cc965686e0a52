"""The two problems on photographs: the brightness of the next pixel, and brightness as a function of the place.

Which problems these are is from Khashin and Shemyakova, "Growing an architecture for a neural network" (2021), as far
as its abstract tells; neighbourhood, sizes, splits and images are ours.
"""

# H W size of an image in px, N points, F inputs
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from modicum.graphs.activations import Array
from modicum.graphs.photographs import Picture
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
CONTEXT_ROWS = 2  # above a pixel that its context reaches
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
        """Returns the points with these numbers."""
        return Samples(self.inputs[rows], self.targets[rows])

    def sample(self, count: int, rng: np.random.Generator) -> "Samples":
        """Draws ``count`` points without replacement, in their order; all if there are no more."""
        if len(self) <= count:
            return self
        return self.take(np.sort(rng.choice(len(self), count, replace=False)))


def sample_brightness(image: Array, rows: int, columns: int, *, offset: float = 0.0) -> Array:
    """Resamples an image to a coarser grid (rows, columns), smoothed so that each value represents its cell.

    Args:
        image: (H, W).
        rows: At most H.
        columns: At most W.
        offset: Offset of the grid, in cells to the right and down.
    """
    height, width = image.shape
    factors = np.array([height / rows, width / columns])
    smooth = gaussian_filter(image, np.maximum((factors - 1) / 2, 0), mode="mirror", truncate=FILTER_TRUNCATE)
    places = [(np.arange(n) + 0.5 + offset) * f - 0.5 for n, f in zip((rows, columns), factors, strict=True)]
    sampled: Array = map_coordinates(smooth, np.meshgrid(*places, indexing="ij"), order=1, mode="mirror")
    return sampled


def coordinates(rows_count: int, columns: int, *, offset: float = 0.0, rows: slice | None = None) -> Array:
    """Returns the inputs x and y of every grid point, (points, 2): x to the right, y down, both in [-2, 2].

    Args:
        rows_count: Rows of the grid.
        columns: Columns of the grid.
        offset: Offset of the points, in cells to the right and down.
        rows: Rows to return; None for all.
    """
    axes = [np.linspace(-EXTENT, EXTENT, n) if n > 1 else np.zeros(1) for n in (columns, rows_count)]
    steps = [2 * EXTENT / max(n - 1, 1) for n in (columns, rows_count)]
    across, down = (axis + offset * step for axis, step in zip(axes, steps, strict=True))
    x, y = np.meshgrid(across, down if rows is None else down[rows])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def image_function(image: Array, side: int) -> tuple[Samples, Samples]:
    """Returns brightness as a function of x and y: every grid point to fit, and points between them to test.

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
    """Returns rows and columns, at least 2, of a grid over an image (H, W) with ``side`` points on its longer side."""
    longest = max(size)
    rows, columns = (max(2, round(side * length / longest)) for length in size)
    return rows, columns


@dataclass(frozen=True)
class Squares:
    """The chessboard over a picture, and the pixels whose whole context lies in their own square.

    Which these are depends on row and column separately, so that nothing as large as the picture is needed.

    Attributes:
        height: Of the picture.
        width: Of the picture.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if not all(len(self.places(colour)) for colour in (self.is_white, ~self.is_white)):
            raise DataError(
                f"an image of {self.width}x{self.height} px has no squares of both colours of {BLOCK} px, by which "
                f"fitting and testing are kept apart: give one that is wider or higher than {BLOCK} px"
            )

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows that have pixels with a whole context."""
        rows = np.arange(self.height)
        above = max(-row for row, _ in CONTEXT.values())
        return rows[rows % BLOCK >= above]

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Columns that have pixels with a whole context."""
        columns = np.arange(self.width)
        left, right = max(-column for _, column in CONTEXT.values()), max(column for _, column in CONTEXT.values())
        place = columns % BLOCK
        return columns[(place >= left) & (place + right < BLOCK) & (columns + right < self.width)]

    @cached_property
    def is_white(self) -> NDArray[np.bool_]:
        """Colours of the squares, (rows of squares, columns of squares); the first one is black."""
        rows, columns = np.indices((-(-self.height // BLOCK), -(-self.width // BLOCK)))
        white: NDArray[np.bool_] = (rows + columns) % 2 == 1
        return white

    @cached_property
    def has_pixels(self) -> NDArray[np.bool_]:
        """Which squares hold pixels with a whole context, in the shape of `is_white`."""
        down, across = (np.arange(count) for count in self.is_white.shape)
        has: NDArray[np.bool_] = np.logical_and.outer(
            np.isin(down, self.rows // BLOCK), np.isin(across, self.columns // BLOCK)
        )
        return has

    def places(self, chosen: NDArray[np.bool_]) -> "Places":
        """Returns the pixels in some squares, chosen in the shape of `is_white`."""
        lists = [self.columns[chosen[row, self.columns // BLOCK]] for row in range(len(chosen))]
        return Places(self.rows, lists)


class Places:
    """Pixels in raster order, of which only the columns in each row of squares are kept.

    Args:
        rows: Rows that have pixels.
        columns: Their columns, for each row of squares.
    """

    def __init__(self, rows: NDArray[np.int64], columns: Sequence[NDArray[np.int64]]) -> None:
        self._rows, self._columns = rows, columns
        self._ends = np.cumsum([len(columns[row // BLOCK]) for row in rows.tolist()])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draws ``count`` numbers of pixels without replacement, in order; all if there are no more."""
        if len(self) <= count:
            return np.arange(len(self))
        return np.sort(rng.choice(len(self), count, replace=False))

    def spread(self, count: int) -> NDArray[np.int64]:
        """Returns ``count`` evenly spread numbers of pixels; all if there are no more."""
        if len(self) <= count:
            return np.arange(len(self))
        return np.linspace(0, len(self) - 1, count).astype(np.int64)

    def find(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the rows and columns of pixels in the picture by their numbers, which must be ascending."""
        at = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends])[at]
        rows, columns = self._rows[at], np.empty(len(numbers), dtype=np.int64)
        for square in np.unique(rows // BLOCK):
            own = rows // BLOCK == square
            columns[own] = self._columns[square][(numbers - starts)[own]]
        return rows, columns


def next_pixel(picture: Picture, places: Places, numbers: NDArray[np.int64]) -> Samples:
    """Returns some pixels of a picture with their contexts as inputs, in the order of `CONTEXT`.

    Args:
        picture: The picture.
        places: Pixels whose whole context lies in their own square.
        numbers: Numbers of the pixels to return, ascending.
    """
    at, across = places.find(numbers)
    inputs, targets = np.empty((len(at), len(CONTEXT))), np.empty(len(at))
    for square in np.unique(at // BLOCK):
        first = int(square) * BLOCK
        image = picture.brightness(slice(first, min(first + BLOCK, picture.size[0])))
        own = np.flatnonzero(at // BLOCK == square)
        rows, columns = at[own] - first, across[own]
        targets[own] = image[rows, columns]
        for place, (row, column) in enumerate(CONTEXT.values()):
            inputs[own, place] = image[rows + row, columns + column]
    return Samples(inputs, targets)


def whole_context(image: Array) -> Array:
    """Returns the contexts of all pixels of an image in raster order, (H * W, 12); edge pixels are repeated."""
    above, beside = 2, 3
    padded = np.pad(image, ((above, 0), (beside, beside)), mode="edge")
    height, width = image.shape
    parts = [
        padded[above + row : above + row + height, beside + column : beside + column + width].ravel()
        for row, column in CONTEXT.values()
    ]
    return np.stack(parts, axis=1)


def left_pixel(inputs: Array) -> Array:
    """Returns the simplest guess at the next pixel (N,): the previous one."""
    return inputs[:, list(CONTEXT).index("W")]


def median_edge(inputs: Array) -> Array:
    """Returns JPEG-LS's guess (N,): the median of W, N and W + N - NW, following edges (Weinberger et al., 2000)."""
    west, north, corner = (inputs[:, list(CONTEXT).index(name)] for name in ("W", "N", "NW"))
    guess: Array = np.median(np.stack([west, north, west + north - corner]), axis=0)
    return guess
