"""Plans which windows of an image to look at, before any is looked at (needs no torch).

Windows change the state only by zeroing what lies inside, so the whole sequence is known in advance. `plan_by_density`
orders windows by gain per pixel; every price then takes a prefix of one order, so that the cost cannot rise with the
price. Stopping greedily at each price by itself (Gao et al., 2018, section 2.6 of our notes) does not promise that
with windows of several sizes: a higher price may choose a larger first window.
"""
# W windows, A windows to choose from

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from modicum.adaptive.knobs import BudgetError
from modicum.detect.overlaps import Boxes, Integers, Numbers
from modicum.detect.zoom.gain_map import clear
from modicum.detect.zoom.gains import AnyGains, Gains
from modicum.detect.zoom.windows import Grid, Lattice

MAX_WINDOWS = 12
MARGIN = 8.0  # pixels that a refined window keeps around promising boxes, where it can
ANY_GAIN = 1e-9  # the price at which a budget takes every window that promises anything
_SHIFTS = 8  # steps that refining tries each way

Values: TypeAlias = Callable[[Numbers, float], Sequence[Numbers]]
"""From an accuracy-gain map (R, C) and a price to the value of every window, one array for each lattice."""


class TimeModel(NamedTuple):
    """Predicts milliseconds per image, linear in pixels and crops."""

    fixed: float  # ms: decoding, the coarse pass and planning
    per_pixel: float  # ms for each pixel that the fine detector reads
    per_window: float  # ms for each window

    @property
    def overhead(self) -> float:
        """What a window costs beyond its pixels, in pixels."""
        return self.per_window / self.per_pixel if self.per_pixel else 0.0

    def milliseconds(self, pixels: float, windows: int) -> float:
        """Predicts the time of an image of which the fine detector reads ``pixels`` in as many windows."""
        return self.fixed + self.per_pixel * pixels + self.per_window * windows


@dataclass(frozen=True)
class Budget:
    """What looking closer at one image may take.

    Attributes:
        max_windows: Windows.
        max_pixels: Pixels that the fine detector reads, overlaps counted each time; never more than those of the image.
        max_ms: Predicted milliseconds, of the coarse pass and all else, too; needs ``time``.
        time: Predicts milliseconds.
    """

    max_windows: int = MAX_WINDOWS
    max_pixels: float | None = None
    max_ms: float | None = None
    time: TimeModel | None = None

    def __post_init__(self) -> None:
        for name in ("max_windows", "max_pixels", "max_ms"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:  # so that NaN is refused, too
                raise BudgetError(f"{name} must be at least 0, got {limit}")
        if self.max_ms is not None and self.time is None:
            raise BudgetError("max_ms needs time, which predicts milliseconds: measure it first")

    @property
    def is_tight(self) -> bool:
        """Whether pixels or time are limited."""
        return self.max_pixels is not None or self.max_ms is not None

    def allows(self, pixels: float, windows: int, image: int) -> bool:
        """Tells whether so many ``pixels`` in so many ``windows`` of an image of ``image`` pixels are within budget."""
        limit = image if self.max_pixels is None else min(image, self.max_pixels)
        in_time = self.max_ms is None or self.time is None or self.time.milliseconds(pixels, windows) <= self.max_ms
        return windows <= self.max_windows and pixels <= limit and in_time


class Plan(NamedTuple):
    """Windows of one image in the order in which they pay.

    The last may be the whole image, which replaces the others.
    """

    whole: Numbers  # (4,): the image as a window
    windows: Boxes  # (W, 4), in whole pixels
    prices: Numbers  # (W,), not rising, at least 0: the highest price, in gain per image of pixels, at which each pays

    def at(self, price: float) -> Boxes:
        """Returns the windows (w, 4) that pay at a price per image of pixels; not more at a higher one."""
        taken = self.windows[self.prices >= price]
        return self.whole[None] if len(taken) and np.array_equal(taken[-1], self.whole) else taken


def plan_by_density(
    gains: Gains,
    lattices: Sequence[Lattice],
    *,
    budget: Budget | None = None,
    with_whole: bool = True,
    is_refined: bool = True,
    overhead: float = 0.0,
) -> Plan:
    """Plans windows in descending order of gain per pixel, each judged by what the ones before it left.

    Without an overhead, small windows come first: they hold little but what they are for. They read no more pixels for
    the same accuracy than larger ones, but are more calls.

    Args:
        gains: What windows promise.
        lattices: Windows to choose from.
        budget: Limits that all windows of the plan together keep; None: 12 windows and the pixels of the image.
        with_whole: Whether the whole image may end the plan: where reading all the rest promises more per pixel than
            the next window, and at price 0. Without it, no more than windows are ever held in memory.
        is_refined: Whether each window is shifted to where it promises most, and keeps a margin around boxes.
        overhead: What a window costs beyond its pixels, in pixels: `TimeModel.overhead`. Prices include it.
    """
    grid, budget = gains.grid, budget or Budget()
    rest, spent = gains, 0
    windows, densities = list[Numbers](), list[float]()
    upgrades = [
        gains.total() * grid.pixels / (grid.pixels + overhead)
    ]  # gain per pixel of reading the rest of the image instead of the next window
    while (chosen := _densest(rest, lattices, budget, spent, len(windows), overhead)) is not None:
        window, lattice = chosen
        window = refine(rest, window, lattice) if is_refined else window
        left = rest.without(window)
        densities.append((rest.total() - left.total()) * grid.pixels / (lattice.pixels + overhead))
        windows.append(window)
        rest, spent = left, spent + lattice.pixels
        more = grid.pixels - spent + overhead * (1 - len(windows))
        upgrades.append(rest.total() * grid.pixels / max(more, 1))
    if with_whole and budget.allows(grid.pixels, 1, grid.pixels):
        end = next((step for step, density in enumerate(densities) if upgrades[step] >= density), len(densities))
        windows[end:], densities[end:] = [grid.whole], [max(upgrades[end], 0.0)]
    prices = np.minimum.accumulate(np.array(densities, dtype=np.float32))  # as scores of a policy hold them
    return Plan(grid.whole, np.array(windows, dtype=np.float64).reshape(-1, 4), prices.astype(np.float64))


def plan_by_value(
    cells: Numbers,
    values: Values,
    lattices: Sequence[Lattice],
    grid: Grid,
    price: float,
    *,
    budget: Budget | None = None,
    refined_by: Gains | None = None,
) -> Boxes:
    """Plans windows by a learned value of each: the highest first, until none has a value above 0.

    Where pixels or time are limited, the highest per pixel comes first.

    Args:
        cells: The accuracy-gain map (R, C).
        values: The value of every window in a state, the price of its pixels included: a Q-network.
        lattices: Windows to choose from.
        grid: Cells of the image.
        price: Per image of pixels.
        budget: Limits that all windows together keep.
        refined_by: What shifted windows promise; None leaves windows on the lattice.

    Returns:
        The windows (W, 4) in the order of choice.
    """
    budget, spent, windows = budget or Budget(), 0, list[Numbers]()
    while True:
        best, chosen = 0.0, None
        for lattice, of_lattice in zip(lattices, values(cells, price), strict=True):
            value = float(of_lattice.max()) / (lattice.pixels if budget.is_tight else 1)
            if value > best and budget.allows(spent + lattice.pixels, len(windows) + 1, grid.pixels):
                best, chosen = value, (lattice.window(int(of_lattice.argmax())), lattice)
        if chosen is None:
            return np.array(windows, dtype=np.float64).reshape(-1, 4)
        window, lattice = chosen
        if refined_by is not None:
            window = refine(refined_by, window, lattice)
            refined_by = refined_by.without(window)
        cells, spent = clear(cells, grid, window), spent + lattice.pixels
        windows.append(window)


def refine(gains: Gains, window: Numbers, lattice: Lattice, margin: float = MARGIN) -> Numbers:
    """Shifts a window by at most one stride of its lattice to where it promises most.

    Of places that promise as much, it takes the one where most of it keeps a margin from borders inside the image, and
    of those the nearest. The window stays in the image and promises no less than before.
    """
    grid = gains.grid
    lefts = _shifted(window[0], _stride(lattice.lefts), grid.width - lattice.width)
    tops = _shifted(window[1], _stride(lattice.tops), grid.height - lattice.height)
    nearby = Lattice(lattice.width, lattice.height, lefts, tops)
    promised = gains.on(nearby)
    secure = np.where(promised >= promised.max() - 1e-9, gains.on(nearby, margin), -np.inf)
    distance = np.abs(lefts - window[0])[None] + np.abs(tops - window[1])[:, None]
    nearest = np.where(secure >= secure.max() - 1e-9, distance, np.inf)
    return nearby.window(int(nearest.argmin()))


def _densest(
    gains: AnyGains, lattices: Sequence[Lattice], budget: Budget, spent: float, windows: int, overhead: float
) -> tuple[Numbers, Lattice] | None:
    """Returns the window of the highest positive gain per pixel within budget, and its lattice; None without one."""
    best, chosen = 0.0, None
    for lattice in lattices:
        if budget.allows(spent + lattice.pixels, windows + 1, gains.grid.pixels):
            promised = gains.on(lattice)
            density = float(promised.max()) / (lattice.pixels + overhead)
            if density > best:
                best, chosen = density, (lattice.window(int(promised.argmax())), lattice)
    return chosen


def _stride(places: Integers) -> int:
    return int(places[1] - places[0]) if len(places) > 1 else 0


def _shifted(place: float, stride: int, last: int) -> Integers:
    """Returns places from one stride before to one after, in whole pixels and within the image, itself among them."""
    shifts = np.round(np.linspace(-stride, stride, 2 * _SHIFTS + 1))
    shifted: Integers = np.unique(np.clip(place + shifts, 0, last)).astype(np.int64)
    return shifted
