"""Windows of an image: its cells, the windows that a plan may choose, and slices that cover it (needs no torch)."""
# R rows, C columns, W windows

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

import numpy as np

from modicum.detect.overlaps import Boxes, Integers, Numbers

Size: TypeAlias = tuple[float, float]
"""Width and height of a window: shares of the image's where at most 1, else pixels."""

COLUMNS = 64  # cells across an image
MULTIPLE = 32  # of pixels, of the sides of windows: what detectors pad to
SIZES: tuple[Size, ...] = ((0.5, 0.5), (0.25, 0.25))


@dataclass(frozen=True)
class Grid:
    """Divides an image into equal cells, nearly square.

    Attributes:
        width: Of the image, in pixels.
        height: Likewise.
        columns: Cells across.
        rows: Cells down.
    """

    width: int
    height: int
    columns: int
    rows: int

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.columns, self.rows) < 1:
            raise ValueError(f"a grid needs at least one pixel and one cell each way, got {self}")

    @classmethod
    def of(cls, width: int, height: int, columns: int = COLUMNS) -> "Grid":
        """Returns the grid of ``columns`` cells across and as many down as make them nearly square."""
        return cls(width, height, columns, max(1, round(height * columns / width)))

    @property
    def pixels(self) -> int:
        """Pixels of the image."""
        return self.width * self.height

    @property
    def whole(self) -> Numbers:
        """The image as a window, (4,)."""
        return np.array([0, 0, self.width, self.height], dtype=np.float64)

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in pixels."""
        return self.width / self.columns, self.height / self.rows

    @property
    def column_edges(self) -> Numbers:
        """Where columns begin and the last one ends, (C + 1,)."""
        return np.linspace(0, self.width, self.columns + 1)

    @property
    def row_edges(self) -> Numbers:
        """Where rows begin and the last one ends, (R + 1,)."""
        return np.linspace(0, self.height, self.rows + 1)

    def cells_in(self, window: Numbers) -> tuple[slice, slice]:
        """Returns the rows and the columns of the cells whose centres lie in ``window`` (4,)."""
        cell = np.array([*self.cell, *self.cell])
        left, top, right, bottom = np.ceil(window / cell - 0.5).astype(int).tolist()
        return slice(top, bottom), slice(left, right)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Windows of one size, one at each crossing of a row and a column of places.

    Attributes:
        width: Of each window, in pixels.
        height: Likewise.
        lefts: Shape (C,), rising: where windows begin.
        tops: Shape (R,), rising.
    """

    width: int
    height: int
    lefts: Integers
    tops: Integers

    @property
    def pixels(self) -> int:
        """Pixels of each window."""
        return self.width * self.height

    def __len__(self) -> int:
        return len(self.lefts) * len(self.tops)

    def window(self, index: int) -> Numbers:
        """Returns the window (4,) with this number, counted row by row."""
        row, column = divmod(index, len(self.lefts))
        left, top = int(self.lefts[column]), int(self.tops[row])
        return np.array([left, top, left + self.width, top + self.height], dtype=np.float64)

    def windows(self) -> Boxes:
        """Returns all windows, row by row: (R * C, 4)."""
        tops, lefts = (axis.ravel() for axis in np.meshgrid(self.tops, self.lefts, indexing="ij"))
        return np.stack([lefts, tops, lefts + self.width, tops + self.height], axis=1).astype(np.float64)


def enumerate_windows(grid: Grid, sizes: Sequence[Size] = SIZES) -> tuple[Lattice, ...]:
    """Returns the windows of each size that begin at cells of the grid; the last of a row or column ends at the border.

    A window of w pixels that spans n whole cells has C - n + 1 places in a row, as many as there are sums of n
    neighbouring cells; each window contains the cells of its sum.

    Args:
        grid: Cells of the image.
        sizes: Rounded to multiples of 32 pixels, at least a cell and at most the image; sizes that become equal are
            listed once.

    Raises:
        ValueError: If there is no size, or one is not positive.
    """
    if not sizes:
        raise ValueError("windows need at least one size, e.g. (0.5, 0.5): half the image each way")
    in_pixels = dict.fromkeys(
        (_side("width", width, grid.width, grid.cell[0]), _side("height", height, grid.height, grid.cell[1]))
        for width, height in sizes
    )
    return tuple(
        Lattice(
            width,
            height,
            _places(grid.column_edges, cells_across(width, grid.cell[0]), width),
            _places(grid.row_edges, cells_across(height, grid.cell[1]), height),
        )
        for width, height in in_pixels
    )


def cells_across(side: int, cell: float) -> int:
    """Returns how many whole cells of ``cell`` pixels a side of a window spans."""
    return int(side / cell + 1e-9)


def spaced_windows(grid: Grid, counts: Sequence[int] = (3, 5)) -> tuple[Lattice, ...]:
    """Returns n x n evenly spaced windows for each count n, each 2 / (n + 1) of the image's sides, half overlapping.

    The default gives the 34 windows of the fully connected Q-net: 9 of half the sides and 25 of a third.
    """
    lattices = []
    for count in counts:
        share = 2 / (count + 1)
        width, height = _side("width", share, grid.width, 1), _side("height", share, grid.height, 1)
        lefts, tops = _spaced(grid.width - width, count), _spaced(grid.height - height, count)
        lattices.append(Lattice(width, height, lefts, tops))
    return tuple(lattices)


def slice_windows(width: int, height: int, size: tuple[int, int], overlap: float = 0.2) -> Boxes:
    """Returns windows of ``size`` that cover an image, neighbours sharing at least ``overlap`` of a side: (W, 4).

    The last of a row and of a column is moved back inside the image, as slicing libraries do; an image that is smaller
    than the size is one window along that side.

    Raises:
        ValueError: If a side is not positive, or ``overlap`` is not in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be a share of a slice's side in [0, 1), got {overlap}")
    if min(size) < 1:
        raise ValueError(f"slices must have at least one pixel each way, got {size}")
    across, down = min(size[0], width), min(size[1], height)
    lefts, tops = _covering(width, across, overlap), _covering(height, down, overlap)
    return Lattice(across, down, lefts, tops).windows()


def _side(name: str, wanted: float, image: int, least: float) -> int:
    """Returns a window's side in pixels, a multiple of 32 of at least ``least`` unless the image is smaller."""
    if not wanted > 0:
        raise ValueError(f"the {name} of a window must be positive, got {wanted}: a share up to 1, or pixels")
    pixels = wanted * image if wanted <= 1 else wanted
    return min(max(1, round(pixels / MULTIPLE), ceil(least / MULTIPLE)) * MULTIPLE, image)


def _places(edges: Numbers, span: int, side: int) -> Integers:
    """Returns where windows of ``span`` cells begin, in whole pixels; the last ones are moved to end in the image."""
    starts = np.round(edges[: len(edges) - span]).astype(np.int64)
    starts[-1] = round(edges[-1]) - side
    places: Integers = np.minimum(starts, starts[-1])
    return places


def _spaced(last: int, count: int) -> Integers:
    places: Integers = np.round(np.linspace(0, last, count)).astype(np.int64)
    return places


def _covering(image: int, side: int, overlap: float) -> Integers:
    step = max(1, int(side * (1 - overlap)))
    starts = np.arange(0, max(image - side, 0) + step, step)
    unique: Integers = np.unique(np.minimum(starts, image - side)).astype(np.int64)
    return unique
