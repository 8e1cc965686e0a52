"""Cells, windows and slices of images of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.zoom.windows import (
    Grid,
    cells_across,
    enumerate_windows,
    slice_windows,
    spaced_windows,
)

IMAGES = st.tuples(st.integers(40, 3000), st.integers(40, 3000))


def test_half_and_quarter_windows_of_a_street_scene_are_478():
    windows = enumerate_windows(Grid.of(2048, 1024, columns=32))

    assert [(each.width, each.height, len(each)) for each in windows] == [(1024, 512, 153), (512, 256, 325)]


def test_half_overlapping_windows_of_the_fully_connected_network_are_34():
    halves, thirds = spaced_windows(Grid.of(640, 480))

    assert (len(halves), halves.width, halves.height) == (9, 320, 256)
    assert (len(thirds), thirds.width, thirds.height) == (25, 224, 160)


@settings(deadline=None, max_examples=40)
@given(IMAGES, st.sampled_from([((0.5, 0.5),), ((0.25, 0.25), (480, 288)), ((1, 0.1), (3000, 40))]))
def test_windows_lie_in_the_image_and_reach_all_its_borders(image, sizes):
    grid = Grid.of(*image)
    for lattice in enumerate_windows(grid, sizes):
        windows = lattice.windows()
        assert (windows[:, :2] >= 0).all()
        assert (windows[:, 2:] <= image).all()
        assert (windows[:, :2].min(0) == 0).all()
        assert (windows[:, 2:].max(0) == image).all()
        assert np.array_equal(lattice.window(len(windows) - 1), windows[-1])


@settings(deadline=None, max_examples=40)
@given(IMAGES)
def test_places_of_a_window_are_those_of_sums_of_cells_inside_it(image):
    grid = Grid.of(*image)
    for lattice in enumerate_windows(grid):
        span = cells_across(lattice.width, grid.cell[0])
        assert len(lattice.lefts) == grid.columns - span + 1
        edges = grid.column_edges
        assert (lattice.lefts <= edges[: len(lattice.lefts)] + 0.5).all()  # places are whole pixels
        assert (lattice.lefts + lattice.width >= edges[span:] - 0.5).all()


def test_image_smaller_than_a_window_is_one_window():
    (lattice,) = enumerate_windows(Grid.of(200, 100), [(480, 288)])

    assert lattice.windows().tolist() == [[0, 0, 200, 100]]


def test_sizes_that_become_equal_are_listed_once():
    assert len(enumerate_windows(Grid.of(64, 64), [(0.5, 0.5), (0.4, 0.4), (32, 32)])) == 1


def test_cells_of_a_window_are_those_with_their_centres_inside():
    grid = Grid.of(1000, 500, columns=10)  # cells of 100 pixels

    rows, columns = grid.cells_in(np.array([149.0, 0, 351, 160]))

    assert (rows, columns) == (slice(0, 2), slice(1, 4))
    assert grid.cells_in(grid.whole) == (slice(0, 5), slice(0, 10))


def test_slices_with_a_fifth_of_overlap_are_15_on_full_hd():
    slices = slice_windows(1920, 1080, (512, 512))

    assert len(slices) == 15
    assert ((slices[:, 2:] - slices[:, :2]) == 512).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 120), st.sampled_from([0, 0.2, 0.5]))
def test_slices_cover_every_pixel(width, height, side, overlap):
    seen = np.zeros((height, width), dtype=bool)
    for left, top, right, bottom in slice_windows(width, height, (side, side), overlap).astype(int):
        seen[top:bottom, left:right] = True

    assert seen.all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: enumerate_windows(Grid.of(100, 100), []), "at least one size"),
        (lambda: enumerate_windows(Grid.of(100, 100), [(0, 0.5)]), "width of a window must be positive, got 0"),
        (lambda: slice_windows(100, 100, (50, 50), 1.0), r"overlap must be a share .* got 1\.0"),
        (lambda: slice_windows(100, 100, (0, 50)), r"at least one pixel each way, got \(0, 50\)"),
        (lambda: Grid.of(100, 100, columns=0), "at least one pixel and one cell"),
    ],
)
def test_windows_of_no_extent_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
