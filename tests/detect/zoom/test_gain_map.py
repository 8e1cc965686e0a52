"""The accuracy-gain map against a map of pixels, and its sums against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.zoom.gain_map import clear, integrate, resample_map, spread_gains, sum_windows
from modicum.detect.zoom.windows import Grid, Lattice

WIDTH, HEIGHT = 60, 36
GRID = Grid(WIDTH, HEIGHT, columns=10, rows=6)  # cells of 6 pixels


@st.composite
def gained_boxes(draw):
    """Boxes of whole pixels in the image, of at least one pixel, with gains."""
    rows = []
    for _ in range(draw(st.integers(0, 5))):
        left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        right, bottom = draw(st.integers(left + 1, WIDTH)), draw(st.integers(top + 1, HEIGHT))
        rows.append((left, top, right, bottom, draw(st.floats(-1, 1))))
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def pixel_map(boxes, gains):
    """What each pixel gains: the definition, pixel by pixel."""
    pixels = np.zeros((HEIGHT, WIDTH))
    for (left, top, right, bottom), gain in zip(boxes.astype(int), gains, strict=True):
        pixels[top:bottom, left:right] += gain / ((right - left) * (bottom - top))
    return pixels


@settings(deadline=None, max_examples=40)
@given(gained_boxes())
def test_cells_hold_the_sums_of_their_pixels(gained):
    pixels = pixel_map(*gained)

    expected = pixels.reshape(6, 6, 10, 6).sum((1, 3))

    np.testing.assert_allclose(spread_gains(*gained, GRID), expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(*[st.floats(-50, 150)] * 4, st.floats(-1, 1)), max_size=6),
    st.integers(1, 70),
    st.integers(1, 40),
)
def test_gain_is_neither_lost_nor_made_whatever_the_boxes_and_cells(rows, columns, down):
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    boxes = np.concatenate([np.minimum(table[:, :2], table[:, 2:4]), np.maximum(table[:, :2], table[:, 2:4])], axis=1)

    spread = spread_gains(boxes, table[:, 4], Grid(WIDTH, HEIGHT, columns, down))

    assert spread.sum() == pytest.approx(table[:, 4].sum(), abs=1e-9)


def test_box_without_area_keeps_its_gain_in_its_place():
    spread = spread_gains(np.array([[30.0, 20, 30, 20]]), np.array([0.5]), GRID)

    assert spread[3, 4] + spread[3, 5] == pytest.approx(0.5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, WIDTH), st.integers(1, HEIGHT))
def test_sums_by_integral_image_are_those_of_loops(seed, width, height):
    cells = np.random.default_rng(seed).normal(size=(6, 10))
    pixels = np.kron(cells / 36, np.ones((6, 6)))  # each cell spread evenly
    lefts, tops = np.arange(0, WIDTH - width + 1, 7), np.arange(0, HEIGHT - height + 1, 5)
    lattice = Lattice(width, height, lefts, tops)

    sums = sum_windows(integrate(cells), GRID, lattice)

    expected = [[pixels[top : top + height, left : left + width].sum() for left in lefts] for top in tops]
    np.testing.assert_allclose(sums, expected, atol=1e-12)


def test_clearing_leaves_the_map_that_was_given_as_it_was():
    cells = np.ones((6, 10))

    cleared = clear(cells, GRID, np.array([0.0, 0, 30, 18]))

    assert cleared.sum() == 60 - 15
    assert (cells == 1).all()


def test_a_coarser_map_of_the_image_keeps_its_sum_on_the_grid():
    density = np.random.default_rng(0).random((5, 7))

    resampled = resample_map(density, GRID)

    assert resampled.shape == (6, 10)
    assert resampled.sum() == pytest.approx(density.sum())
