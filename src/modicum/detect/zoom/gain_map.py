"""The accuracy-gain map: how much accuracy each cell of an image promises (Gao et al., 2018; needs no torch).

A detection spreads its gain evenly over its box, so the sum over a window is what the objects inside promise. The map
has one value per cell, and cells share a box's gain by area: its sum is that of all gains, however coarse the grid.
"""
# K boxes, R rows, C columns, W windows

import numpy as np

from modicum.detect.overlaps import Boxes, Numbers
from modicum.detect.zoom.windows import Grid, Lattice

LEAST_SIDE = 1.0  # pixels: a thinner box is spread over as much, so that its gain is not lost


def spread_gains(boxes: Boxes, gains: Numbers, grid: Grid) -> Numbers:
    """Returns the map (R, C) of boxes (K, 4) with gains (K,); it sums to the sum of the gains.

    What lies outside the image is cut off before a box is spread; a box fully outside is spread at the border.
    """
    across = _overlap_shares(boxes[:, 0], boxes[:, 2], grid.column_edges)
    down = _overlap_shares(boxes[:, 1], boxes[:, 3], grid.row_edges)
    spread: Numbers = (down * gains[:, None]).T @ across
    return spread


def integrate(cells: Numbers) -> Numbers:
    """Returns the integral image (R + 1, C + 1) of a map (R, C): at [r, c] the sum over all rows < r, columns < c."""
    return np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def sum_windows(integral: Numbers, grid: Grid, lattice: Lattice) -> Numbers:
    """Returns the sum of a map in each window of a lattice, (rows of places, columns of places).

    Cells that a window cuts count by the share of them inside, as if their gain were spread evenly: the integral image
    is linear between edges of cells.
    """
    begin = _read_columns(integral, lattice.lefts / grid.cell[0])
    end = _read_columns(integral, (lattice.lefts + lattice.width) / grid.cell[0])
    strips = (end - begin).T  # (columns of places, R + 1)
    upper = _read_columns(strips, lattice.tops / grid.cell[1])
    lower = _read_columns(strips, (lattice.tops + lattice.height) / grid.cell[1])
    sums: Numbers = (lower - upper).T
    return sums


def clear(cells: Numbers, grid: Grid, window: Numbers) -> Numbers:
    """Returns a copy of a map (R, C) that is 0 in the cells whose centres lie in ``window`` (4,)."""
    cleared = cells.copy()
    cleared[grid.cells_in(window)] = 0
    return cleared


def resample_map(density: Numbers, grid: Grid) -> Numbers:
    """Returns a map (R, C) of a map of any other shape over the same image; its sum stays."""
    rows = np.linspace(0, grid.height, density.shape[0] + 1)
    columns = np.linspace(0, grid.width, density.shape[1] + 1)
    down = _overlap_shares(rows[:-1], rows[1:], grid.row_edges)
    across = _overlap_shares(columns[:-1], columns[1:], grid.column_edges)
    resampled: Numbers = down.T @ density @ across
    return resampled


def _overlap_shares(starts: Numbers, ends: Numbers, edges: Numbers) -> Numbers:
    """Returns the share of each interval (K,) that lies in each of the cells between ``edges``; rows add up to 1."""
    limit = edges[-1]
    centre = (np.clip(starts, 0, limit) + np.clip(ends, 0, limit)) / 2
    half = np.maximum((np.clip(ends, 0, limit) - np.clip(starts, 0, limit)) / 2, min(LEAST_SIDE, limit) / 2)
    centre = np.clip(centre, half, limit - half)
    low, high = (centre - half)[:, None], (centre + half)[:, None]
    overlap = np.maximum(np.minimum(high, edges[None, 1:]) - np.maximum(low, edges[None, :-1]), 0)
    shares: Numbers = overlap / overlap.sum(1, keepdims=True)
    return shares


def _read_columns(table: Numbers, at: Numbers) -> Numbers:
    """Reads a table (R, C) at fractional columns, linearly between neighbours: (R, len(at))."""
    left = np.clip(np.floor(at).astype(int), 0, table.shape[1] - 2)
    weight = at - left
    read: Numbers = table[:, left] * (1 - weight) + table[:, left + 1] * weight
    return read
