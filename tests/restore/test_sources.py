import io
import pickle
import socket
import tarfile

import numpy as np
import pytest
from PIL import Image

import modicum.restore.sources as sources
from modicum.imaging.decoding import BadImageError
from modicum.restore.sources import library_photos, open_images
from modicum.storage.errors import DataError, MissingExtraError


@pytest.fixture
def content(picture):
    """Function from a number (and shape) to the bytes of a PNG file."""

    def make(number, shape=(20, 24, 3)):
        stream = io.BytesIO()
        Image.fromarray(picture(number, shape)).save(stream, "PNG")
        return stream.getvalue()

    return make


@pytest.fixture
def write_tree(tmp_path, content):
    """Function that writes a different picture to each of the given paths and returns their folder."""

    def write(*names):
        for number, name in enumerate(names):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content(number))
        return tmp_path

    return write


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_folder_is_read_at_any_depth_in_order(write_tree):
    images = open_images(write_tree("b/deep/2.png", "a.png", "b/1.jpg", "notes.txt", ".hidden/x.png", ".y.png"))
    assert [image.id for image in images.images] == ["a.png", "b/1.jpg", "b/deep/2.png"]
    assert {image.part for image in images.images} == {None}
    assert images.name.startswith("3 images of ")


def test_folders_named_after_a_part_say_so(write_tree):
    images = open_images(write_tree("train/1.png", "val/deep/2.png", "TEST/3.png", "4.png"))
    parts = {image.id: image.part for image in images.images}
    assert parts == {"train/1.png": "train", "val/deep/2.png": "calibration", "TEST/3.png": "test", "4.png": None}


def test_tar_is_read_in_place(tmp_path, content, picture):
    members = [("b.png", content(1)), ("test/a.png", content(2)), ("readme.txt", b"text"), (".c.png", content(3))]
    images = open_images(write_tar(tmp_path / "set.tar", members))
    assert [(image.id, image.part) for image in images.images] == [("b.png", None), ("test/a.png", "test")]
    assert np.array_equal(images.images[0].pixels(), picture(1, (20, 24, 3)))


def test_later_member_of_a_tar_replaces_the_earlier(tmp_path, content, picture):
    images = open_images(write_tar(tmp_path / "set.tar", [("a.png", content(1)), ("a.png", content(2))]))
    (image,) = images.images
    assert np.array_equal(image.pixels(), picture(2, (20, 24, 3)))


def test_one_file_is_a_set_of_one(write_tree, picture):
    (image,) = open_images(write_tree("photo.png") / "photo.png").images
    assert image.id == "photo.png"
    assert np.array_equal(image.pixels(), picture(0, (20, 24, 3)))


def test_grey_images_are_grey_however_they_are_stored(tmp_path, content, picture):
    grey = picture(1, (20, 24))
    Image.fromarray(grey).convert("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content(1, (20, 24)))
    assert all(np.array_equal(image.pixels(), grey) for image in open_images(tmp_path).images)


def test_images_can_be_pickled_for_workers(write_tree):
    (image,) = open_images(write_tree("a.png")).images
    assert np.array_equal(pickle.loads(pickle.dumps(image)).pixels(), image.pixels())


def test_unreadable_image_says_why(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BadImageError, match="not an image"):
        open_images(tmp_path).images[0].pixels()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing does not exist; data can be a folder of images, a .tar of images, or an image file"),
        ("notes.txt", r"notes.txt is neither a .tar nor an image file \(.* .bmp .*\)"),
        ("empty.tar", "empty.tar holds no image"),
        ("folder", "folder holds no image"),
    ],
)
def test_what_is_no_images_is_refused(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "folder").mkdir()
    write_tar(tmp_path / "empty.tar", [("readme.txt", b"text")])
    with pytest.raises(DataError, match=message):
        open_images(tmp_path / name)


@pytest.mark.parametrize("data", [None, "library-photos"])
def test_default_is_the_photographs_of_the_libraries(data, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # nothing may go to the network
    images = open_images(data)
    sizes = {image.id: image.pixels().shape for image in images.images}
    assert len(sizes) == 14
    assert sizes["camera.png"] == sizes["brick.png"] == (512, 512)
    assert sizes["coffee.png"] == (400, 600, 3)
    assert sum(len(size) == 2 for size in sizes.values()) == 6


def test_test_photographs_of_the_default_are_unseen():
    images = library_photos().images
    by_part = {part: {image.id for image in images if image.part == part} for part in ("train", "calibration", "test")}
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
        library_photos().images[0].pixels()
