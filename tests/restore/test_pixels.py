import numpy as np
import pytest

from modicum.restore.pixels import (
    as_colour,
    channels_first,
    channels_last,
    cut_border,
    cut_to_multiple,
    is_grey,
    quantise,
    simplest_form,
)


def test_halves_are_rounded_up_and_the_rest_is_clipped():
    values = np.array([-3.0, 0.49, 0.5, 1.5, 2.5, 254.5, 300.0])
    assert quantise(values).tolist() == [0, 0, 1, 2, 3, 255, 255]


def test_sixteen_bit_values_keep_their_range():
    result = quantise(np.array([65534.5, 70000.0, 256.2]), 65535)
    assert (result.dtype, result.tolist()) == (np.uint16, [65535, 65535, 256])


def test_equal_channels_are_grey(picture):
    grey = picture(1)[..., 0]
    assert np.array_equal(simplest_form(as_colour(grey)), grey)


def test_one_different_value_makes_colour(picture):
    image = as_colour(picture(1)[..., 0])
    image[3, 4, 2] ^= 1
    assert not is_grey(image)
    assert simplest_form(image) is image


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_channels_go_first_and_come_back(picture, shape):
    image = picture(0, shape)
    assert channels_first(image).shape == (1 if len(shape) == 2 else 3, 6, 5)
    assert np.array_equal(channels_last(channels_first(image)), image)


def test_border_is_cut_at_each_side(picture):
    image = picture(0)
    assert np.array_equal(cut_border(image, 2), image[2:-2, 2:-2])
    assert np.array_equal(cut_border(image, 0), image)


def test_rest_of_a_multiple_is_cut_at_the_end(picture):
    assert np.array_equal(cut_to_multiple(picture(0), 9), picture(0)[:36, :45])
