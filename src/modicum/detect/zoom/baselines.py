"""Plans that look at nothing in the image: random windows, and the best constant set of windows (needs no torch).

A fixed camera has its places: the windows that served best on training images are a strong baseline. Both are plans
with prices, so that the same policies, costs and curves take them.
"""
# T steps

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from modicum.detect.overlaps import Numbers
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.planning import MAX_WINDOWS, Plan, plan_by_density
from modicum.detect.zoom.windows import Grid, Lattice


@dataclass(frozen=True, eq=False)
class JointGains:
    """Mean gains of several images of one size, at least one: what the same windows earn in all of them.

    Attributes:
        parts: Gains of each image.
    """

    parts: tuple[BoxGains, ...]

    @property
    def grid(self) -> Grid:
        """Cells of each image."""
        return self.parts[0].grid

    def on(self, lattice: Lattice, margin: float = 0.0) -> Numbers:
        """Averages the gain of each window of a lattice over images."""
        mean: Numbers = np.mean([part.on(lattice, margin) for part in self.parts], axis=0)
        return mean

    def without(self, window: Numbers) -> Self:
        """Returns what is left once ``window`` (4,) was looked at in every image."""
        return replace(self, parts=tuple(part.without(window) for part in self.parts))

    def total(self) -> float:
        """Averages the gain of whole images."""
        return float(np.mean([part.total() for part in self.parts]))


def plan_fixed(truths: Sequence[BoxGains], lattices: Sequence[Lattice]) -> Plan:
    """Returns the constant plan that earns most on training images, at least one.

    Args:
        truths: True gains; those of images of another size than the first are scaled to it.
        lattices: Windows of images of the first one's size.
    """
    grid = truths[0].grid
    alike = tuple(_scaled(each, grid) for each in truths)
    return plan_by_density(JointGains(alike), lattices, with_whole=False)


def plan_random(grid: Grid, lattice: Lattice, generator: np.random.Generator, steps: int = MAX_WINDOWS) -> Plan:
    """Returns different windows of one size at random; prices T, T - 1, ... 1 make price T + 1 - n take n of them."""
    count = min(steps, len(lattice))
    chosen = generator.choice(len(lattice), size=count, replace=False)
    windows = np.array([lattice.window(int(index)) for index in chosen], dtype=np.float64)
    return Plan(grid.whole, windows.reshape(-1, 4), np.arange(count, 0, -1, dtype=np.float64))


def _scaled(gains: BoxGains, grid: Grid) -> BoxGains:
    scale = np.array([grid.width / gains.grid.width, grid.height / gains.grid.height] * 2)
    return BoxGains.of(gains.boxes * scale, gains.gains, grid)
