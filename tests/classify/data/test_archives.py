import io
import pickle
import tarfile

import numpy as np
import pytest

from modicum.classify.data.archives import TarImages
from modicum.storage.errors import DataError


@pytest.fixture
def write_tar(tmp_path, noise, encoded):
    def write(name, *members, mode="w"):
        with tarfile.open(tmp_path / name, mode) as tar:
            for number, member in enumerate(members):
                content = encoded(noise(number))
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return tmp_path / name

    return write


def test_parent_folder_is_the_class(write_tar, noise):
    source = TarImages(write_tar("set.tar", "./dog/2.png", "all/cat/1.png", "dog/notes.txt", "dog/._2.png"))
    assert source.classes == ("cat", "dog")
    assert [record.id for record in source.records] == ["all/cat/1.png", "dog/2.png"]
    np.testing.assert_array_equal(source.pixels(1), np.asarray(noise(0)))


def test_flat_members_have_their_class_before_the_underscore(write_tar):
    source = TarImages(write_tar("set.tar", "n02_dog.png", "n01_tench_fish.png"))
    assert source.classes == ("n01", "n02")


def test_names_of_archives_say_the_split(write_tar, tmp_path):
    for split in ("train", "val", "test"):
        write_tar(f"{split}.tar", "cat/1.png", "dog/1.png")
    source = TarImages(tmp_path)
    assert sorted({(r.id.split("/")[0], r.split) for r in source.records}) == [
        ("test", "test"),
        ("train", "train"),
        ("val", "calibration"),
    ]


def test_only_archive_of_a_folder_is_taken(write_tar, tmp_path):
    write_tar("set.tar", "cat/1.png", "dog/1.png")
    assert len(TarImages(tmp_path).records) == 2


def test_later_member_of_the_same_name_counts(write_tar, noise):
    source = TarImages(write_tar("set.tar", "cat/1.png", "dog/1.png", "cat/1.png"))
    np.testing.assert_array_equal(source.pixels(0), np.asarray(noise(2)))


def test_archive_source_survives_pickling(write_tar):
    source = TarImages(write_tar("set.tar", "cat/1.png", "dog/1.png"))
    again = pickle.loads(pickle.dumps(source))
    assert [again.digest(i) for i in range(2)] == [source.digest(i) for i in range(2)]


def test_member_without_class_is_named(write_tar):
    with pytest.raises(DataError, match=r"member 'tench\.png' names no class: expected <class>/<name>"):
        TarImages(write_tar("set.tar", "cat/1.png", "tench.png"))


def test_compressed_archive_is_refused(write_tar):
    with pytest.raises(DataError, match="must be a complete, uncompressed tar"):
        TarImages(write_tar("set.tar", "cat/1.png", "dog/1.png", mode="w:gz"))


def test_truncated_archive_is_refused(write_tar):
    path = write_tar("set.tar", "cat/1.png", "dog/1.png")
    path.write_bytes(path.read_bytes()[:1800])
    with pytest.raises(DataError, match=r"set\.tar cannot be read"):
        TarImages(path)


def test_archive_without_images_is_refused(write_tar):
    with pytest.raises(DataError, match="holds no images"):
        TarImages(write_tar("set.tar", "notes.txt"))


def test_path_without_archives_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"neither a tar archive nor a folder with train\.tar"):
        TarImages(tmp_path)


@pytest.mark.data
def test_caltech_has_40_classes_and_its_own_splits(real_data):
    source = TarImages(real_data / "caltech101_40")
    assert len(source.classes) == 40
    splits = [record.split for record in source.records]
    assert (splits.count("train"), splits.count("test")) == (1800, 600)
    assert min(source.pixels(1000).shape[:2]) <= 192


@pytest.mark.data
def test_imagenet_sample_has_100_classes(real_data):
    source = TarImages(real_data / "imagenet_sample100")
    assert (len(source.records), len(source.classes), source.classes[0]) == (100, 100, "n01440764")
    assert source.pixels(99).shape[2] == 3
