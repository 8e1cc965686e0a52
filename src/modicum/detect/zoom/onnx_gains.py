"""R-net and Q-net out of an export, run with numpy and ONNX Runtime (needs no torch)."""

# N detections, F features, R rows, C columns of cells, S sizes of windows, A windows of all sizes
from collections.abc import Sequence

import numpy as np

from modicum.detect.detectors.graph_boxes import Singles
from modicum.detect.overlaps import Found, Integers, Numbers
from modicum.detect.zoom.planning import Values
from modicum.detect.zoom.windows import Grid, Lattice
from modicum.exporting.sessions import GraphRunner

GEOMETRY, LABELS, FEATURES, GAINS = "geometry", "labels", "features", "gains"  # tensors of R-net
LEVEL, GAIN_MAP = "level", "gain_map"  # of the dense one
CELLS, PRICE, MAPS, VALUES = "cells", "price", "maps", "values"  # of the Q-net
SUMS = "sums"  # of each size of windows
SUM_SCALE = 0.1  # as in `modicum.detect.zoom.qnet`
_FARTHEST = 12.0  # as in `modicum.detect.zoom.rnet`


def box_geometry(found: Found, width: int, height: int) -> tuple[Singles, Integers]:
    """Returns what R-net sees of detections with calibrated scores: geometry (N, 5) and labels (N,).

    See `modicum.detect.zoom.rnet.box_inputs`, whose numbers these are.
    """
    left, top, right, bottom = found.boxes.astype(np.float32).T
    scores = np.clip(found.scores, np.float32(1e-6), np.float32(1 - 1e-6))
    logits = np.clip(np.log(scores / (1 - scores)), -_FARTHEST, _FARTHEST)
    sides = np.log(np.maximum(right - left, 1)), np.log(np.maximum(bottom - top, 1))
    centre = (left + right) / (2 * width), (top + bottom) / (2 * height)
    return np.stack([logits, *sides, *centre], axis=1).astype(np.float32), found.labels


class OnnxQnet:
    """A convolutional Q-net: features of the map by one graph, values of their sums over windows by another.

    Args:
        maps: From cells (1, R, C) and prices (1,) to maps (1, M, R, C), the first of them the cells.
        heads: Of each size: from sums (1, M, windows, 1) to values (1, 1, windows, 1).
        is_residual: Whether values are corrections of gain less price.
    """

    def __init__(self, maps: GraphRunner, heads: Sequence[GraphRunner], *, is_residual: bool) -> None:
        self._maps, self._heads, self._is_residual = maps, heads, is_residual

    def values_of(self, grid: Grid, lattices: Sequence[Lattice]) -> Values:
        """Returns the values of windows as `modicum.detect.zoom.planning.plan_by_value` takes them."""

        def values(cells: Numbers, price: float) -> list[Numbers]:
            state = cells.astype(np.float32)[None]
            maps = self._maps(state, np.array([price], np.float32))[MAPS][0]
            integral = np.pad(maps.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
            sums = [_box_sums(integral, *_span(grid, each)) for each in lattices]
            scaled = [(np.float32(SUM_SCALE) * each)[None, :, :, None] for each in sums]
            found = [head(each)[VALUES].ravel() for head, each in zip(self._heads, scaled, strict=True)]
            if self._is_residual:  # the first map is that of the gains
                shares = (np.float32(price) * np.float32(each.pixels / grid.pixels) for each in lattices)
                found = [own[0] - cost + more for own, cost, more in zip(sums, shares, found, strict=True)]
            return [each.astype(np.float64) for each in found]

        return values


class OnnxFixedQnet:
    """The fully connected Q-net of fixed windows, one graph.

    Args:
        graph: From cells (1, R, C) and prices (1,) to values (1, A).
    """

    def __init__(self, graph: GraphRunner) -> None:
        self._graph = graph

    def values_of(self, grid: Grid, lattices: Sequence[Lattice]) -> Values:
        """Returns the values of windows as `modicum.detect.zoom.planning.plan_by_value` takes them."""
        ends = np.cumsum([len(each) for each in lattices])[:-1]

        def values(cells: Numbers, price: float) -> list[Numbers]:
            flat = self._graph(cells.astype(np.float32)[None], np.array([price], np.float32))[VALUES][0]
            return np.split(flat.astype(np.float64), ends)

        return values


def _span(grid: Grid, lattice: Lattice) -> tuple[int, int]:
    """Returns the rows and columns of whole cells of a window; see `modicum.detect.zoom.qnet.window_shapes`."""
    return grid.rows - len(lattice.tops) + 1, grid.columns - len(lattice.lefts) + 1


def _box_sums(integral: Singles, rows: int, columns: int) -> Singles:
    """Returns sums over all windows of ``rows`` x ``columns`` cells, (M, windows), of integral maps."""
    strips = integral[:, rows:] - integral[:, : integral.shape[1] - rows]
    sums = strips[..., columns:] - strips[..., : strips.shape[2] - columns]
    return sums.reshape(len(sums), -1)
