import shutil

import pytest

from modicum.classify.data import opening
from modicum.classify.data.archives import TarImages
from modicum.classify.data.folders import ImageFolder, IndexFile
from modicum.classify.data.opening import open_source
from modicum.classify.data.scenes import DigitScenes
from modicum.storage.errors import DataError


@pytest.mark.parametrize("data", [None, "digits-scenes"])
def test_no_data_means_the_embedded_scenes(monkeypatch, data):
    monkeypatch.setattr(opening, "DigitScenes", lambda side=48: DigitScenes(side=side, sizes=(2, 1, 1)))
    assert open_source(data).pixels(0).shape == (48, 48, 3)
    assert open_source(data, side=96).pixels(0).shape == (96, 96, 3)


def test_reader_is_chosen_by_what_is_there(write_tree, tmp_path):
    root = write_tree("cat/1.png", "dog/2.png", root=tmp_path / "photos")
    (root / "set.csv").write_text("path,label\ncat/1.png,cat\ndog/2.png,dog\n")
    shutil.make_archive(str(tmp_path / "tars" / "test"), "tar", root)
    shutil.make_archive(str(tmp_path / "tars" / "train"), "tar", root)
    kinds = [
        type(open_source(str(tmp_path / place))) for place in ("photos", "photos/set.csv", "tars", "tars/train.tar")
    ]
    assert kinds == [ImageFolder, IndexFile, TarImages, TarImages]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "none does not exist; data can be a folder of class folders"),
        ("set.xlsx", r"is a \.xlsx file; data can be"),
        ("loose", r"loose holds '1\.png', '2\.png'; data can be"),
        ("empty", "empty holds nothing; data can be"),
    ],
)
def test_error_says_what_was_found_and_what_is_accepted(write_tree, tmp_path, name, message):
    write_tree("loose/1.png", "loose/2.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "set.xlsx").touch()
    with pytest.raises(DataError, match=f"{message}.*CIFAR files.*train.tar.*path,label"):
        open_source(str(tmp_path / name))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "words"),
    [("caltech101_40", "2,400 images of 40 classes"), ("imagenet_sample100", "100 images of 100 classes")],
)
def test_real_sets_are_recognised(real_data, name, words):
    assert words in open_source(str(real_data / name)).name
