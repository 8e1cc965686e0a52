import numpy as np
import pytest
import torch
from PIL import Image

from modicum.detect.pixels import cut_windows, read_image, reduced, resized, to_image
from modicum.detect.reducing import reduced_shape

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [0.5, 0.25, 1 / 3])
def test_reduced_image_is_that_of_pillow(scale):
    small = reduced(to_image(PIXELS), scale)
    height, width = reduced_shape(90, 160, scale)
    reference = np.array(Image.fromarray(PIXELS).resize((width, height), Image.Resampling.BILINEAR))
    assert small.dtype == torch.uint8
    assert np.abs(small.permute(1, 2, 0).numpy().astype(int) - reference).max() <= 1


def test_image_shares_the_memory_of_its_pixels_and_windows_that_of_the_image():
    image = to_image(PIXELS)
    (view, other) = cut_windows(image, [(10, 20, 60, 50), (0, 0, 160, 90)])
    assert view.shape == (3, 30, 50)
    assert other.data_ptr() == image.data_ptr()
    assert view.untyped_storage().data_ptr() == image.untyped_storage().data_ptr() == PIXELS.ctypes.data
    assert np.array_equal(view.permute(1, 2, 0).numpy(), PIXELS[20:50, 10:60])


def test_pixels_that_may_not_be_written_to_are_copied():
    frozen = PIXELS.copy()
    frozen.flags.writeable = False
    assert to_image(frozen).untyped_storage().data_ptr() != frozen.ctypes.data


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 161, 5), (5, 5, 5, 9), (0, 9, 5, 3)])
def test_window_beyond_the_image_or_empty_is_refused(window):
    with pytest.raises(ValueError, match=r"windows must be \(left, top, right, bottom\) within 160x90 px"):
        cut_windows(to_image(PIXELS), [window])


def test_image_of_the_size_asked_for_is_returned_as_it_is():
    image = to_image(PIXELS)
    assert resized(image, 90, 160) is image


def test_image_is_read_upright_from_any_form(write_picture):
    file = write_picture("a.png", (40, 30), orientation=6)
    assert read_image(file).shape == (3, 40, 30)
    assert torch.equal(read_image(file), read_image(file.read_bytes()))
