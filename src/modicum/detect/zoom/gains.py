"""What windows of an image promise, by boxes or by a map, and what is left once one was looked at (needs no torch).

By boxes, a window earns the gains of the boxes that lie fully inside: a box that the border cuts keeps its coarse
detection. By a map, it earns the sum of the map, whatever that consists of.
"""
# K boxes, N detections, M of the last frame, R rows of places or cells, C columns of them

from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from modicum.detect.overlaps import Boxes, Flags, Found, Integers, Numbers, lie_inside, pairwise_iou
from modicum.detect.zoom.gain_map import clear, integrate, spread_gains, sum_windows
from modicum.detect.zoom.windows import Grid, Lattice

UntrainedGain: TypeAlias = Literal["entropy", "score"]
"""What stands for the gain of a detection where no network was trained."""


class Gains(Protocol):
    """What the windows of one image promise; never changed, so that states can be kept."""

    @property
    def grid(self) -> Grid:
        """Cells of the image."""

    def on(self, lattice: Lattice, margin: float = 0.0) -> Numbers:
        """Returns the gain of each window of a lattice, (rows of places, columns of places).

        Args:
            lattice: Windows.
            margin: Pixels by which boxes must keep away from borders of the window inside the image.
        """

    def without(self, window: Numbers) -> Self:
        """Returns what is left once ``window`` (4,) was looked at: nothing inside."""

    def total(self) -> float:
        """Returns the gain of the whole image."""


AnyGains = TypeVar("AnyGains", bound=Gains)


@dataclass(frozen=True, eq=False)
class BoxGains:
    """Gains of boxes: those of R-net, of a formula, or true ones.

    Attributes:
        grid: Cells of the image.
        boxes: Shape (K, 4), cut to the image.
        gains: Shape (K,); negative where looking closer hurts.
    """

    grid: Grid
    boxes: Boxes
    gains: Numbers

    @classmethod
    def of(cls, boxes: Boxes, gains: Numbers, grid: Grid) -> Self:
        """Returns gains of boxes that are first cut to the image, as windows end there."""
        limits = np.array([grid.width, grid.height, grid.width, grid.height], dtype=np.float64)
        return cls(grid, np.clip(boxes, 0, limits), gains.astype(np.float64))

    def on(self, lattice: Lattice, margin: float = 0.0) -> Numbers:
        """Adds up the gains of the boxes inside each window: a product of two small matrices, as sides are apart."""
        starts, ends = self.boxes[:, :2], self.boxes[:, 2:]
        across = _inside(starts[:, 0], ends[:, 0], lattice.lefts, lattice.width, self.grid.width, margin)
        down = _inside(starts[:, 1], ends[:, 1], lattice.tops, lattice.height, self.grid.height, margin)
        sums: Numbers = (down * self.gains[:, None]).T @ across
        return sums

    def without(self, window: Numbers) -> Self:
        """Leaves the boxes that are not fully inside ``window``."""
        rest = ~lie_inside(self.boxes, window[None])[:, 0]
        return type(self)(self.grid, self.boxes[rest], self.gains[rest])

    def total(self) -> float:
        """Adds up all gains."""
        return float(self.gains.sum())

    def map(self) -> Numbers:
        """Returns the accuracy-gain map (R, C), which the Q-net sees."""
        return spread_gains(self.boxes, self.gains, self.grid)


@dataclass(frozen=True, eq=False)
class MapGains:
    """Gains of cells: those of the dense R-net.

    Attributes:
        grid: Cells of the image.
        cells: Shape (R, C).
    """

    grid: Grid
    cells: Numbers

    def on(self, lattice: Lattice, margin: float = 0.0) -> Numbers:
        """Adds up the map in each window, shrunk by ``margin`` on all sides."""
        integral = integrate(self.cells)
        if not margin:
            return sum_windows(integral, self.grid, lattice)
        inner = Lattice(
            max(1, lattice.width - round(2 * margin)),
            max(1, lattice.height - round(2 * margin)),
            lattice.lefts + round(margin),
            lattice.tops + round(margin),
        )
        return sum_windows(integral, self.grid, inner)

    def without(self, window: Numbers) -> Self:
        """Clears the cells inside ``window``."""
        return type(self)(self.grid, clear(self.cells, self.grid, window))

    def total(self) -> float:
        """Adds up all cells."""
        return float(self.cells.sum())

    def map(self) -> Numbers:
        """Returns the accuracy-gain map (R, C), which the Q-net sees."""
        return self.cells


ImageGains: TypeAlias = BoxGains | MapGains
"""What the windows of one image promise, as boxes or as a map."""


def untrained_gains(scores: Numbers, kind: UntrainedGain) -> Numbers:
    """Returns gains (N,) of detections with ``scores`` (N,) where no network was trained.

    ``"entropy"``: -p log p - (1 - p) log(1 - p), in nats: high where the detector is undecided. ``"score"``: p, so that
    windows go where objects are, sure or not.
    """
    if kind == "score":
        return scores.astype(np.float64)
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    entropy: Numbers = -p * np.log(p) - (1 - p) * np.log1p(-p)
    return entropy


def remembered_gains(last: Found, coarse: Found) -> tuple[Boxes, Numbers]:
    """Returns boxes (M, 4) and gains (M,) of what a video showed a frame ago and the coarse pass does not see now.

    Where looking closer finds the object again, it gains the score that it had; join these with the gains of the coarse
    detections.

    Args:
        last: All detections of the last frame, with calibrated scores.
        coarse: Those of the coarse pass over this frame.
    """
    overlap = pairwise_iou(last.boxes, coarse.boxes)
    seen = np.any((overlap >= 0.5) & (last.labels[:, None] == coarse.labels[None]), axis=1)
    return last.boxes[~seen], last.scores[~seen].astype(np.float64)


def _inside(starts: Numbers, ends: Numbers, places: Integers, side: int, image: int, margin: float) -> Numbers:
    """Tells, along one axis, which boxes lie inside which windows: (K, places), 1 or 0.

    A border of the image needs no margin: nothing is cut there.
    """
    first = np.where(places > 0, places + margin, places)
    last = np.where(places + side < image, places + side - margin, places + side)
    inside: Flags = (starts[:, None] >= first) & (ends[:, None] <= last)
    return inside.astype(np.float64)
