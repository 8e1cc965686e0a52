import numpy as np
import pytest
import torch

from modicum.detect.pixels import resized
from modicum.detect.reducing import reduce_pixels

SIZES = [  # before and after
    ((96, 128), (24, 32)),
    ((96, 128), (48, 64)),
    ((97, 131), (24, 33)),
    ((97, 131), (32, 44)),
    ((101, 64), (25, 16)),
    ((64, 101), (64, 34)),
    ((40, 40), (1, 1)),
    ((7, 9), (20, 11)),
    ((30, 50), (30, 50)),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_pictures_are_reduced_to_the_bytes_that_torch_gives(before, after):
    pixels = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    expected = resized(torch.from_numpy(pixels).permute(2, 0, 1), *after).permute(1, 2, 0)

    assert np.array_equal(reduce_pixels(pixels, *after), expected)


def test_black_and_white_stay_in_range():
    pixels = np.repeat(np.array([0, 255], np.uint8), 50)[:, None, None].repeat(99, 1).repeat(3, 2)
    expected = resized(torch.from_numpy(pixels).permute(2, 0, 1), 31, 29).permute(1, 2, 0)

    assert np.array_equal(reduce_pixels(pixels, 31, 29), expected)
