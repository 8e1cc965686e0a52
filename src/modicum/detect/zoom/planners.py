"""Planners: which windows of an image to read within a limit, by density or by a learned value (needs no torch)."""
# W windows

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from modicum.detect.overlaps import Boxes
from modicum.detect.zoom.gains import ImageGains
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.planning import ANY_GAIN, Plan, TimeModel, Values, plan_by_density, plan_by_value
from modicum.detect.zoom.windows import COLUMNS, SIZES, Grid, Lattice, Size, enumerate_windows, spaced_windows

ValuesOf: TypeAlias = Callable[[Grid, Sequence[Lattice]], Values]
"""From the cells of an image and its windows to their values; `functools.partial(values_of, qnet)` for a Q-net."""


class Layout(Protocol):
    """Where windows of an image may be."""

    def grid(self, width: int, height: int) -> Grid:
        """Returns the cells of an image."""

    def lattices(self, grid: Grid) -> tuple[Lattice, ...]:
        """Returns the windows to choose from, by size."""


@dataclass(frozen=True)
class SlidingWindows:
    """Windows of a few sizes that begin at any cell.

    Attributes:
        sizes: Width and height of each, as shares of the image's where at most 1, else in pixels.
        columns: Cells across.
    """

    sizes: tuple[Size, ...] = SIZES
    columns: int = COLUMNS

    def grid(self, width: int, height: int) -> Grid:
        """Returns cells that are nearly square."""
        return Grid.of(width, height, self.columns)

    def lattices(self, grid: Grid) -> tuple[Lattice, ...]:
        """Returns the windows of each size."""
        return enumerate_windows(grid, self.sizes)


@dataclass(frozen=True)
class SpacedWindows:
    """The 34 fixed windows of the fully connected Q-net, on its map of 30 x 40 cells."""

    def grid(self, width: int, height: int) -> Grid:
        """Returns 40 cells across and 30 down, whatever the shape of the image."""
        return Grid(width, height, 40, 30)

    def lattices(self, grid: Grid) -> tuple[Lattice, ...]:
        """Returns 3 x 3 windows of half the sides and 5 x 5 of a third."""
        return spaced_windows(grid)


class Planner(Protocol):
    """Chooses windows; keeps nothing of a call."""

    @property
    def layout(self) -> Layout:
        """Where windows may be."""

    def windows(self, gains: ImageGains, limit: ZoomLimit, coarse_pixels: int, time: TimeModel | None = None) -> Boxes:
        """Returns the windows (W, 4) to read, in the order of choice; the whole image stands alone.

        Args:
            gains: What windows promise.
            limit: How far to zoom in.
            coarse_pixels: That the coarse pass reads.
            time: Predicts milliseconds of this image; needed for ``max_ms``.
        """


@dataclass(frozen=True)
class DensityPlanner:
    """Takes windows in descending order of gain per pixel: `modicum.detect.zoom.planning.plan_by_density`.

    Attributes:
        layout: Where windows may be.
        with_whole: Whether a price or a limit of time may end in reading the whole image; without it, memory stays
            that of windows.
        is_refined: Whether windows are shifted to where they promise most.
        overhead: What a window costs beyond its pixels, in pixels.
    """

    layout: Layout = field(default_factory=SlidingWindows)
    with_whole: bool = True
    is_refined: bool = True
    overhead: float = 0.0

    def plan(self, gains: ImageGains) -> Plan:
        """Returns the plan of an image, of which every price takes a prefix."""
        return plan_by_density(
            gains,
            self.layout.lattices(gains.grid),
            with_whole=self.with_whole,
            is_refined=self.is_refined,
            overhead=self.overhead,
        )

    def windows(self, gains: ImageGains, limit: ZoomLimit, coarse_pixels: int, time: TimeModel | None = None) -> Boxes:
        """Returns the windows (W, 4) to read; see `Planner.windows`."""
        if limit.price is not None:
            return self.plan(gains).at(limit.price)
        plan = plan_by_density(
            gains,
            self.layout.lattices(gains.grid),
            budget=limit.budget(gains.grid.pixels, coarse_pixels, time),
            with_whole=self.with_whole and limit.max_windows is None,
            is_refined=self.is_refined,
            overhead=max(self.overhead, time.overhead) if limit.needs_time and time else self.overhead,
        )
        return plan.at(ANY_GAIN)


@dataclass(frozen=True)
class ValuePlanner:
    """Takes windows of the highest learned value: `modicum.detect.zoom.planning.plan_by_value`.

    Attributes:
        values: Of windows in a state: a Q-network.
        layout: Windows that it was trained for.
        price_at: The price to plan for at a knob; `modicum.detect.zoom.policies.RungPolicy.price_at` makes the pixels
            fall as the knob rises.
        is_refined: Whether windows are shifted to where they promise most.
    """

    values: ValuesOf
    layout: Layout = field(default_factory=SlidingWindows)
    price_at: Callable[[float], float] = float
    is_refined: bool = True

    def windows(self, gains: ImageGains, limit: ZoomLimit, coarse_pixels: int, time: TimeModel | None = None) -> Boxes:
        """Returns the windows (W, 4) to read; see `Planner.windows`.

        Within a limit of pixels, time or windows, the price is 0.
        """
        grid = gains.grid
        lattices = self.layout.lattices(grid)
        chosen = plan_by_value(
            gains.map(),
            self.values(grid, lattices),
            lattices,
            grid,
            0.0 if limit.price is None else self.price_at(limit.price),
            budget=limit.budget(grid.pixels, coarse_pixels, time),
            refined_by=gains if self.is_refined else None,
        )
        return grid.whole[None] if bool(np.all(chosen == grid.whole, axis=1).any()) else chosen
