import io
import pickle
import tarfile

import numpy as np
import pytest

from modicum.datasets.images import read_images
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError


@pytest.fixture
def content(encoded, noise):
    """Function from a number to the bytes of a PNG file."""
    return lambda number: encoded(noise(number))


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_folder_is_read_at_any_depth_in_order(write_tree):
    images = read_images(write_tree("b/deep/2.png", "a.png", "b/1.jpg", "notes.txt", ".hidden/x.png", ".y.png"))
    assert [image.id for image in images.records] == ["a.png", "b/1.jpg", "b/deep/2.png"]
    assert {image.split for image in images.records} == {None}
    assert images.name.startswith("3 images of ")


def test_folders_named_after_a_part_say_so(write_tree):
    images = read_images(write_tree("train/1.png", "val/deep/2.png", "TEST/3.png", "4.png"))
    parts = {image.id: image.split for image in images.records}
    assert parts == {"train/1.png": "train", "val/deep/2.png": "calibration", "TEST/3.png": "test", "4.png": None}


def test_tar_is_read_in_place(tmp_path, content, noise):
    members = [("b.png", content(1)), ("test/a.png", content(2)), ("readme.txt", b"text"), (".c.png", content(3))]
    images = read_images(write_tar(tmp_path / "set.tar", members))
    assert [(image.id, image.split) for image in images.records] == [("b.png", None), ("test/a.png", "test")]
    assert np.array_equal(images.records[0].pixels(), np.asarray(noise(1)))


def test_later_member_of_a_tar_replaces_the_earlier(tmp_path, content, noise):
    images = read_images(write_tar(tmp_path / "set.tar", [("a.png", content(1)), ("a.png", content(2))]))
    (image,) = images.records
    assert np.array_equal(image.pixels(), np.asarray(noise(2)))


def test_one_file_is_a_set_of_one(write_tree, noise):
    (image,) = read_images(write_tree("photo.png") / "photo.png").records
    assert image.id == "photo.png"
    assert np.array_equal(image.pixels(), np.asarray(noise(0)))


def test_images_can_be_pickled_for_workers(write_tree):
    (image,) = read_images(write_tree("a.png")).records
    assert np.array_equal(pickle.loads(pickle.dumps(image)).pixels(), image.pixels())


def test_unreadable_image_says_why(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BadImageError, match="not an image"):
        read_images(tmp_path).records[0].pixels()


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
        read_images(tmp_path / name)
