import numpy as np
import pytest
from PIL import Image

from modicum.graphs.photographs import Picture
from modicum.graphs.problems import (
    BLOCK,
    CONTEXT,
    Samples,
    Squares,
    coordinates,
    image_function,
    left_pixel,
    median_edge,
    next_pixel,
    sample_brightness,
    whole_context,
)
from modicum.storage.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (2 * BLOCK + 9, 2 * BLOCK - 5), dtype=np.uint8)
NOISE = PIXELS / 255


def all_pixels(pixels):
    """Every pixel with a whole context, and row and column of each."""
    picture = Picture(Image.fromarray(pixels))
    squares = Squares(*picture.size)
    places = squares.places(np.ones_like(squares.is_white))
    numbers = np.arange(len(places))
    return next_pixel(picture, places, numbers), np.stack(places.find(numbers), axis=1)


def test_context_is_causal():
    assert all(row < 0 or (row == 0 and column < 0) for row, column in CONTEXT.values())
    assert len(set(CONTEXT.values())) == 12


def test_sampling_is_that_of_scikit_image():
    transform = pytest.importorskip("skimage.transform", reason="the graphs extra is not installed")
    expected = transform.resize(NOISE, (23, 31), anti_aliasing=True)
    np.testing.assert_allclose(sample_brightness(NOISE, 23, 31), expected, rtol=0, atol=1e-12)


def test_grid_spans_the_image_from_minus_2_to_2():
    places = coordinates(3, 5).reshape(3, 5, 2)
    np.testing.assert_allclose(places[0, :, 0], [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(places[:, 0, 1], [-2, 0, 2])


def test_points_between_the_grid_test_it():
    ramp = np.add.outer(3 * np.arange(80), np.arange(120)) / 400  # linear, so that every point is known
    fitted, between = image_function(ramp, 24)
    assert (len(fitted), len(between)) == (24 * 16, 23 * 15)
    plane = np.linalg.lstsq(np.c_[fitted.inputs, np.ones(len(fitted))], fitted.targets, rcond=None)[0]
    inner = np.abs(between.inputs).max(axis=1) < 1.5  # the filter flattens what is near the edges
    errors = np.c_[between.inputs, np.ones(len(between))] @ plane - between.targets
    assert np.abs(errors[inner]).max() < 0.01


def test_image_smaller_than_the_grid_is_refused():
    with pytest.raises(DataError, match="an image of 20x30 px has no grid of 64 points"):
        image_function(np.zeros((30, 20)), 64)


def test_context_of_a_pixel_holds_its_neighbours():
    samples, _ = all_pixels(PIXELS)
    row, column = 2, 3  # the first whose whole context is there
    assert samples.targets[0] == NOISE[row, column]
    for name, value in zip(CONTEXT, samples.inputs[0], strict=True):
        up, across = CONTEXT[name]
        assert value == NOISE[row + up, column + across]


def test_no_context_crosses_the_border_of_its_square():
    squares = np.add.outer(np.arange(NOISE.shape[0]) // BLOCK, np.arange(NOISE.shape[1]) // BLOCK) % 2
    samples, places = all_pixels((255 * squares).astype(np.uint8))
    is_white = (places // BLOCK).sum(axis=1) % 2
    assert (samples.inputs == is_white[:, None]).all()
    assert (samples.targets == is_white).all()


def test_image_within_one_square_is_refused():
    with pytest.raises(DataError, match="64x50 px has no squares of both colours of 64 px"):
        Squares(50, 64)


def test_context_of_a_whole_image_repeats_its_edges():
    contexts = whole_context(NOISE).reshape(*NOISE.shape, 12)
    samples, _ = all_pixels(PIXELS)
    np.testing.assert_array_equal(contexts[2, 3], samples.inputs[0])
    assert contexts[0, 0, list(CONTEXT).index("W")] == NOISE[0, 0]
    assert contexts[0, 5, list(CONTEXT).index("N")] == NOISE[0, 5]


def test_known_guesses_are_those_of_their_papers():
    inputs = np.zeros((3, 12))
    west, north, corner = (list(CONTEXT).index(name) for name in ("W", "N", "NW"))
    inputs[:, west], inputs[:, north], inputs[:, corner] = (0.2, 0.2, 0.5), (0.4, 0.6, 0.3), (0.5, 0.1, 0.4)
    np.testing.assert_array_equal(left_pixel(inputs), [0.2, 0.2, 0.5])
    # JPEG-LS: below both for a bright corner, above both for a dark one, else the plane through the three.
    np.testing.assert_allclose(median_edge(inputs), [0.2, 0.6, 0.4])


def test_drawn_samples_are_a_part_in_order():
    samples = Samples(np.arange(100.0)[:, None], np.arange(100.0))
    drawn = samples.sample(30, np.random.default_rng(0))
    assert len(np.unique(drawn.targets)) == 30
    assert (np.diff(drawn.targets) > 0).all()
    assert samples.sample(100, np.random.default_rng(0)) is samples


def test_pixels_are_those_whose_whole_context_lies_in_their_square():
    rows, columns = np.mgrid[: PIXELS.shape[0], : PIXELS.shape[1]]
    inside = np.ones(PIXELS.shape, dtype=bool)
    for row, column in CONTEXT.values():
        inside &= (rows % BLOCK + row >= 0) & (columns % BLOCK + column >= 0)
        inside &= (columns % BLOCK + column < BLOCK) & (columns + column < PIXELS.shape[1])
    samples, places = all_pixels(PIXELS)
    np.testing.assert_array_equal(places, np.argwhere(inside))
    np.testing.assert_array_equal(samples.targets, NOISE[inside])


def test_some_pixels_are_the_same_as_those_of_all():
    samples, _ = all_pixels(PIXELS)
    picture = Picture(Image.fromarray(PIXELS))
    places = Squares(*picture.size).places(np.ones((3, 2), dtype=bool))
    numbers = places.draw(50, np.random.default_rng(1))
    np.testing.assert_array_equal(next_pixel(picture, places, numbers).inputs, samples.inputs[numbers])
    assert places.spread(7)[[0, -1]].tolist() == [0, len(samples) - 1]
