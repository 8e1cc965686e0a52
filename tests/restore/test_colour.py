import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr

from modicum.restore.colour import full_range_grey, replace_studio_luma, studio_luma, studio_luma_8_bit
from modicum.restore.pixels import as_colour


@pytest.mark.parametrize(
    ("rgb", "full", "studio"),
    [
        ((0, 0, 0), 0, 16),
        ((255, 255, 255), 255, 235),
        ((255, 0, 0), 76, 81),
        ((0, 255, 0), 150, 145),
        ((1, 2, 3), 2, 18),
    ],
)
def test_the_two_greys_of_known_colours(rgb, full, studio):
    pixel = np.array(rgb, np.uint8).reshape(1, 1, 3)
    assert (full_range_grey(pixel).item(), studio_luma_8_bit(pixel).item()) == (full, studio)


def test_full_range_grey_of_a_grey_image_is_that_image():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(full_range_grey(as_colour(grey)), grey)


def test_studio_luma_is_the_libraries_y(picture):
    np.testing.assert_allclose(studio_luma(picture(3)), rgb2ycbcr(picture(3))[..., 0], atol=1e-10)


def test_replaced_luma_is_the_new_one_and_chroma_stays(picture):
    image = picture(3) // 2 + 64  # far enough from black and white that nothing is clipped
    luma = studio_luma(image) + np.linspace(-9, 9, image.shape[1])
    result = rgb2ycbcr(replace_studio_luma(image, luma) / 255)
    np.testing.assert_allclose(result[..., 0], luma, atol=1e-3)
    np.testing.assert_allclose(result[..., 1:], rgb2ycbcr(image)[..., 1:], atol=1e-3)


@given(seed=st.integers(0, 99))
def test_own_luma_changes_nothing(seed):
    image = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    np.testing.assert_allclose(replace_studio_luma(image, studio_luma(image)), image, atol=1e-9)


def test_replaced_luma_is_clipped():
    white = np.full((2, 2, 3), 250, np.uint8)
    assert replace_studio_luma(white, np.full((2, 2), 235.0) + 5).max() == 255
