import tracemalloc

import numpy as np
import pytest
from PIL import Image

from modicum.graphs.photographs import PHOTOGRAPHS, Picture, open_picture, to_brightness
from modicum.graphs.preparation import prepare
from modicum.graphs.recipe import GraphsRecipe
from modicum.storage.errors import DataError


@pytest.mark.parametrize("name", sorted(PHOTOGRAPHS))
def test_every_photograph_that_is_named_is_there(name):
    pytest.importorskip("skimage", reason="the graphs extra is not installed")
    image = open_picture(name).brightness()
    assert min(image.shape) >= 256
    assert 0 <= image.min() < image.max() <= 1


def test_colours_have_the_brightness_of_the_standard():
    pixels = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(to_brightness(pixels), [[1.0, 0.2125, 0.0]])


def test_picture_of_a_user_is_read(tmp_path):
    Image.fromarray(np.full((10, 12), 51, np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_allclose(
        open_picture(str(tmp_path / "grey.png")).brightness(), np.full((10, 12), 0.2), atol=1e-12
    )


def test_name_that_is_neither_file_nor_photograph_is_refused():
    with pytest.raises(DataError, match=r"lena does not exist: give a table, an image file .* or one of camera, coins"):
        open_picture("lena")


def test_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "t.txt").write_text("x")
    (tmp_path / "t.png").write_text("x")
    with pytest.raises(DataError, match="is no image file"):
        open_picture(str(tmp_path / "t.txt"))
    with pytest.raises(DataError, match=r"t\.png: not an image in one of the formats"):
        open_picture(str(tmp_path / "t.png"))


@pytest.mark.parametrize("problem", ["image-function", "next-pixel"])
def test_large_picture_is_sampled_before_it_becomes_points(tmp_path, monkeypatch, problem):
    pytest.importorskip("skimage", reason="the graphs extra is not installed")
    monkeypatch.setattr("modicum.graphs.preparation.MAX_TEST_POINTS", 100_000)
    side = 4200  # all of it as brightness in doubles takes 141 MB, and 1.7 GB with its contexts
    pixels = np.add.outer(np.arange(side) // 40, np.arange(side) // 60).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    del pixels
    tracemalloc.start()
    try:
        prepared = prepare(GraphsRecipe(data=str(tmp_path / "large.png"), problem=problem))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(prepared.parts["train"]) == {"image-function": 64 * 64, "next-pixel": 20_000}[problem]
    assert peak < 200e6


def test_reduced_picture_has_the_means_of_squares():
    pixels = np.random.default_rng(0).integers(0, 256, (41, 30), np.uint8)
    picture = Picture(Image.fromarray(pixels))
    expected = to_brightness(pixels)[:40].reshape(10, 4, 30, 1)[:, :, :28].reshape(10, 4, 7, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(picture.reduced(10), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(picture.reduced(30), to_brightness(pixels))
