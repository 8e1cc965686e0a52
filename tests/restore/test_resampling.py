import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.restore.resampling import downscale, upscale


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def plain_line(line, scale):
    """One row of pixels, resized by the definition."""
    stretch, result = min(scale, 1), []
    for number in range(1, math.ceil(len(line) * scale - 1e-9) + 1):
        centre = number / scale + 0.5 * (1 - 1 / scale)
        reach = 2 / stretch
        taps = range(math.ceil(centre - reach), math.floor(centre + reach) + 1)
        weights = [cubic(stretch * (centre - tap)) for tap in taps]
        values = [float(line[min(max(tap, 1), len(line)) - 1]) for tap in taps]
        result.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.floor(np.clip(result, 0, 255) + 0.5)


def plain_resize(image, scale):
    rows = np.stack([plain_line(column, scale) for column in image.T], axis=1)
    return np.stack([plain_line(row, scale) for row in rows])


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(4, 15),
    width=st.integers(4, 15),
    factor=st.integers(2, 4),
    up=st.booleans(),
    seed=st.integers(0, 9),
)
def test_equals_the_definition(height, width, factor, up, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    result = upscale(image, factor) if up else downscale(image, factor)
    difference = np.abs(result - plain_resize(image, factor if up else 1 / factor))
    assert difference.max() <= 1  # where a sum of another order ends on the other side of a half
    assert (difference > 0).mean() <= 0.02


def test_known_values_of_a_ramp():
    ramp = np.arange(0, 160, 10, dtype=np.uint8)[None].repeat(8, axis=0)
    assert downscale(ramp, 4)[0].tolist() == [15, 55, 95, 135]
    assert upscale(ramp[:, :4], 2)[0].tolist() == [0, 2, 7, 13, 18, 23, 28, 31]


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_constant_images_stay_constant(factor):
    image = np.full((12, 12, 3), 77, np.uint8)
    assert (downscale(image, factor) == 77).all()
    assert upscale(image, factor).shape == (12 * factor, 12 * factor, 3)


def test_factor_one_changes_nothing(picture):
    assert np.array_equal(downscale(picture(5), 1), picture(5))


def test_sides_are_rounded_up(picture):
    assert downscale(picture(0, (41, 47)), 4).shape == (11, 12)


def test_sixteen_bit_images_stay_sixteen_bit(picture):
    image = picture(2).astype(np.uint16) * 257
    difference = np.abs(downscale(image, 2) / 257 - downscale(picture(2), 2))
    assert difference.max() <= 1.1  # 8-bit rounding in both passes


def test_colour_planes_are_resized_one_by_one(picture):
    image = picture(4)
    planes = [downscale(image[..., channel], 3) for channel in range(3)]
    assert np.array_equal(downscale(image, 3), np.stack(planes, axis=2))


def test_floats_are_refused():
    with pytest.raises(ValueError, match=r"pixels must be uint8 or uint16, .* got float64"):
        downscale(np.zeros((8, 8)), 2)


def test_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="factor must be a whole number of at least 1, got 0"):
        upscale(np.zeros((8, 8), np.uint8), 0)
