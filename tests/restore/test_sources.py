import socket

import numpy as np
import pytest
from PIL import Image

import modicum.restore.sources as sources
from modicum.restore.sources import clean_pixels, library_photos, open_images
from modicum.storage.errors import DataError, MissingExtraError


def test_grey_images_are_grey_however_they_are_stored(tmp_path, picture):
    grey = picture(1, (20, 24))
    Image.fromarray(grey).convert("RGB").save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "b.png")
    assert all(np.array_equal(clean_pixels(image), grey) for image in open_images(tmp_path).records)


@pytest.mark.parametrize("data", [None, "library-photos"])
def test_default_is_the_photographs_of_the_libraries(data, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # nothing may go to the network
    images = open_images(data)
    sizes = {image.id: clean_pixels(image).shape for image in images.records}
    assert len(sizes) == 14
    assert sizes["camera.png"] == sizes["brick.png"] == (512, 512)
    assert sizes["coffee.png"] == (400, 600, 3)
    assert sum(len(size) == 2 for size in sizes.values()) == 6


def test_test_photographs_of_the_default_are_unseen():
    images = library_photos().records
    by_part = {part: {image.id for image in images if image.split == part} for part in ("train", "calibration", "test")}
    assert by_part["test"] == {"brick.png", "camera.png", "coffee.png", "flower.jpg"}
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= by_part["train"]
    assert sum(len(names) for names in by_part.values()) == len(set().union(*by_part.values())) == 14


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="scikit-image is not installed"):
        library_photos()


def test_missing_photograph_is_named(monkeypatch):
    monkeypatch.setattr(sources, "LIBRARY_PHOTOS", {"test": {"skimage.data": ("gone.png",)}})
    with pytest.raises(DataError, match=r"skimage.data does not hold gone.png: reinstall skimage"):
        library_photos().records[0].pixels()
