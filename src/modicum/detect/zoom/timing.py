"""Measures how long zooming takes on this machine, for limits in milliseconds."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
from torch import Tensor

from modicum.detect.zoom.costs import fit_time
from modicum.detect.zoom.inference import MeasuredTime, ZoomDetector, ZoomPlan
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.windows import Lattice

COUNTS = (1, 2, 4)  # windows of each size that are timed together


def measure_time(detector: ZoomDetector, image: Tensor, *, repeats: int = 3) -> MeasuredTime:
    """Times the coarse pass and 1, 2 and 4 windows of each size of an image (3, H, W), uint8; takes seconds.

    Decoding is not included. Each figure is the median of ``repeats``, after a first run that is not counted.
    """
    limit = ZoomLimit(max_windows=0)
    looks = detector.look([image])
    fixed = _milliseconds(partial(detector.detect, [image], limit), repeats)
    grid = looks[0].gains.grid
    rows, times = list[tuple[float, float]](), list[float]()
    for lattice in detector.planner.layout.lattices(grid):
        for count in COUNTS:
            plan = ZoomPlan(np.array([_first(lattice)] * count))
            rows.append((float(count * lattice.pixels), float(count)))
            times.append(_milliseconds(partial(detector.read, [image], looks, [plan]), repeats))
    return MeasuredTime(fit_time(rows, times, fixed), grid.pixels)


def _first(lattice: Lattice) -> list[int]:
    return [0, 0, lattice.width, lattice.height]


def _milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Returns the median time of a run."""
    run()
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        run()
        times.append((perf_counter() - begin) * 1e3)
    return median(times)
