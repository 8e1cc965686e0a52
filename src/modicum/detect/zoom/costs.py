"""What routes of zooming cost: pixels read, multiply-adds or milliseconds, the coarse pass always included."""
# N images, W windows of one image

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from modicum.adaptive.costs import CostTable, Unit
from modicum.detect.zoom.planning import TimeModel

ShapeCost: TypeAlias = Callable[[int, int], float]
"""From width and height of an input, in pixels of the full image, to the cost of reading it."""


@dataclass(frozen=True)
class WindowCosts(CostTable[list[Tensor]]):
    """A route costs the coarse pass over the image and the fine detector on each window; overlaps count each time.

    As a route of the whole image counts as one window, `plain` is the mean cost of the fine detector on images as they
    are, without a coarse pass.

    Attributes:
        coarse: The coarse pass and the decision, by the size of the full image.
        fine: The fine detector, by the size of a window.
        images: Width and height of the images whose mean costs `decision` and `plain` are.
        windows: Width and height of windows to be timed.
        unit: What the figures count.
    """

    coarse: ShapeCost
    fine: ShapeCost
    images: tuple[tuple[int, int], ...]
    windows: tuple[tuple[int, int], ...] = ()
    unit: Unit = "MAC"

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("costs need the size of at least one image, whose cost others are compared with")

    @property
    def decision(self) -> float:
        """Mean cost of the coarse pass and the decision."""
        return float(np.mean([self.coarse(width, height) for width, height in self.images]))

    @property
    def plain(self) -> float:
        """Mean cost of the fine detector on whole images."""
        return float(np.mean([self.fine(width, height) for width, height in self.images]))

    def of(self, routes: list[Tensor]) -> Tensor:
        """Adds up each route (1 + W, 4)."""
        return torch.tensor([self._cost(route) for route in routes], dtype=torch.float64)

    def names(self, routes: list[Tensor]) -> list[str]:
        """Says how many windows each route reads, or that it reads the whole image."""
        return [_name(route) for route in routes]

    def menu(self) -> None:
        """Returns None: windows may be combined in too many ways."""
        return

    def in_milliseconds(
        self, milliseconds: Callable[[list[Tensor]], float], decision: float, plain: float | None
    ) -> Self:
        """Fits time per pixel and per window to routes of 0, 1, 2 and 4 windows of each size, on the first image.

        Least squares, neither below 0. A price in milliseconds need not fall as lambda rises: twelve small windows can
        take longer than the whole image. Sweep curves in milliseconds over the knobs of one in pixels.
        """
        width, height = self.images[0]
        whole = [0, 0, width, height]
        base = milliseconds([torch.tensor([whole])])
        rows, times = list[tuple[float, float]](), list[float]()
        for window in self.windows or ((width, height),):
            for count in (1, 2, 4):
                route = torch.tensor([whole, *[[0, 0, *window]] * count])
                rows.append((float(count * window[0] * window[1]), float(count)))
                times.append(milliseconds([route]) - base)
        time = fit_time(rows, times, fixed=decision)
        return replace(
            self,
            coarse=lambda *_: time.fixed,
            fine=lambda across, down: time.per_pixel * across * down + time.per_window,
            unit="ms",
        )

    def _cost(self, route: Tensor) -> float:
        (_, _, width, height), *windows = route.tolist()
        return self.coarse(width, height) + sum(
            self.fine(right - left, bottom - top) for left, top, right, bottom in windows
        )


def pixel_costs(scale: float, images: Sequence[tuple[int, int]]) -> WindowCosts:
    """Returns costs in pixels that a detector reads: of the coarse pass scale^2 of the image's.

    Args:
        scale: Of the coarse pass, in (0, 1].
        images: Width and height of images whose mean is compared with.

    Raises:
        ValueError: If ``scale`` is not in (0, 1].
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be in (0, 1], got {scale}: 0.25 reads one pixel in sixteen")
    return WindowCosts(
        coarse=lambda width, height: float(round(width * scale) * round(height * scale)),
        fine=lambda width, height: float(width * height),
        images=tuple(images),
        unit="px",
    )


def fit_time(rows: Sequence[tuple[float, float]], milliseconds: Sequence[float], fixed: float) -> TimeModel:
    """Fits times beyond ``fixed`` of routes that read so many pixels in so many windows; neither is below 0.

    Args:
        rows: Pixels and windows of each route.
        milliseconds: What each took beyond the coarse pass.
        fixed: Milliseconds of decoding, the coarse pass and planning.
    """
    table, times = np.array(rows, dtype=np.float64), np.array(milliseconds, dtype=np.float64)
    scale = np.maximum(table.max(axis=0), 1.0)  # pixels are millions, windows a few
    per_pixel, per_window = (nnls(table / scale, np.maximum(times, 0))[0] / scale).tolist()
    return TimeModel(fixed, per_pixel, per_window)


def _name(route: Tensor) -> str:
    count = len(route) - 1
    if count == 1 and route[1].equal(route[0]):
        return "whole image"
    return {0: "no windows", 1: "1 window"}.get(count, f"{count} windows")
