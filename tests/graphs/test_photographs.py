import numpy as np
import pytest
from PIL import Image

from modicum.graphs.photographs import PHOTOGRAPHS, open_brightness, to_brightness
from modicum.storage.errors import DataError


@pytest.mark.parametrize("name", sorted(PHOTOGRAPHS))
def test_every_photograph_that_is_named_is_there(name):
    pytest.importorskip("skimage", reason="the graphs extra is not installed")
    image = open_brightness(name)
    assert min(image.shape) >= 256
    assert 0 <= image.min() < image.max() <= 1


def test_colours_have_the_brightness_of_the_standard():
    pixels = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(to_brightness(pixels), [[1.0, 0.2125, 0.0]])


def test_picture_of_a_user_is_read(tmp_path):
    Image.fromarray(np.full((10, 12), 51, np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_allclose(open_brightness(str(tmp_path / "grey.png")), np.full((10, 12), 0.2), atol=1e-12)


def test_name_that_is_neither_file_nor_photograph_is_refused():
    with pytest.raises(DataError, match=r"lena does not exist: give a table, an image file .* or one of camera, coins"):
        open_brightness("lena")


def test_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "t.txt").write_text("x")
    (tmp_path / "t.png").write_text("x")
    with pytest.raises(DataError, match="is no image file"):
        open_brightness(str(tmp_path / "t.txt"))
    with pytest.raises(DataError, match=r"t\.png: not an image in one of the formats"):
        open_brightness(str(tmp_path / "t.png"))
