import pickle

import numpy as np
import pytest
from PIL import Image

from modicum.classify.data.folders import ImageFolder, IndexFile
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError


def ids(source):
    return [record.id for record in source.records]


def test_class_folders_become_sorted_classes_and_ids(write_tree):
    source = ImageFolder(write_tree("dog/b.png", "dog/a.PNG", "cat/deep/er/x.jpeg"))
    assert source.classes == ("cat", "dog")
    assert ids(source) == ["cat/deep/er/x.jpeg", "dog/a.PNG", "dog/b.png"]
    assert [(record.label, record.split) for record in source.records] == [(0, None), (1, None), (1, None)]


def test_hidden_files_and_other_files_are_ignored(write_tree):
    root = write_tree("cat/a.png", "cat/._a.png", "cat/.thumbs/b.png", ".git/c.png", "dog/d.png")
    (root / "cat" / "notes.txt").write_text("no image")
    assert ids(ImageFolder(root)) == ["cat/a.png", "dog/d.png"]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "calibration", "Val"])
def test_split_folders_say_the_split(write_tree, val):
    parts = ("train", val, "test")
    source = ImageFolder(write_tree(*(f"{part}/{name}/1.png" for part in parts for name in ("cat", "dog"))))
    assert {record.id.split("/")[0]: record.split for record in source.records} == {
        "train": "train",
        val: "calibration",
        "test": "test",
    }


def test_pixels_picture_and_digest_agree_with_the_file(write_tree, noise):
    source = ImageFolder(write_tree("cat/a.png", "dog/b.png"))
    np.testing.assert_array_equal(source.pixels(1), np.asarray(noise(1)))
    assert source.open(1).tobytes() == noise(1).tobytes()
    assert source.digest(0) != source.digest(1)


def test_copies_have_the_same_digest(write_tree):
    root = write_tree("cat/a.png", "dog/b.png")
    (root / "dog" / "c.png").write_bytes((root / "cat" / "a.png").read_bytes())
    source = ImageFolder(root)
    assert source.digest(0) == source.digest(2)


def test_sources_survive_pickling(write_tree):
    source = ImageFolder(write_tree("cat/a.png", "dog/b.png"))
    again = pickle.loads(pickle.dumps(source))
    assert again.records == source.records
    np.testing.assert_array_equal(again.pixels(0), source.pixels(0))


def test_vanished_file_is_a_bad_image(write_tree):
    root = write_tree("cat/a.png", "dog/b.png")
    source = ImageFolder(root)
    (root / "dog" / "b.png").unlink()
    with pytest.raises(BadImageError, match="No such file"):
        source.pixels(1)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        ImageFolder(tmp_path / "nowhere")


def test_folder_without_class_folders_is_explained(write_tree):
    with pytest.raises(DataError, match="holds no class folders: put the images of each class"):
        ImageFolder(write_tree("a.png", "b.png"))


def test_empty_class_folder_is_named(write_tree):
    root = write_tree("cat/a.png", "dog/b.png")
    (root / "eel").mkdir()
    with pytest.raises(DataError, match=r"class folder .*eel holds no images"):
        ImageFolder(root)


def test_single_class_is_refused(write_tree):
    with pytest.raises(DataError, match="at least two"):
        ImageFolder(write_tree("cat/a.png"))


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("train/cat/1.png", "train/dog/2.png", "test/cat/3.png"), "the test part has no images of 'dog'"),
        (("train/cat/1.png", "test/dog/2.png", "test/cat/3.png"), "the train part has no images of 'dog'"),
    ],
)
def test_parts_with_different_classes_are_refused(write_tree, paths, message):
    with pytest.raises(DataError, match=message):
        ImageFolder(write_tree(*paths))


def test_split_folders_beside_class_folders_are_refused(write_tree):
    with pytest.raises(DataError, match="split folder 'train' beside 'cat'"):
        ImageFolder(write_tree("train/cat/1.png", "train/dog/2.png", "cat/3.png"))


def test_index_file_gives_labels_and_splits(write_tree):
    root = write_tree("x/1.png", "x/2.png", "y/3.png", "y/4.png")
    rows = "path,label,split\nx/1.png,dog,train\nx/2.png,cat,train\ny/3.png,dog,val\ny/4.png,cat,VAL\n"
    (root / "set.csv").write_text(rows, encoding="utf-8-sig")
    source = IndexFile(root / "set.csv")
    assert source.classes == ("cat", "dog")
    assert [(r.id, r.label, r.split) for r in source.records][::3] == [
        ("x/1.png", 1, "train"),
        ("y/4.png", 0, "calibration"),
    ]
    assert isinstance(source.open(2), Image.Image)
    assert len(source.digest(0)) == 32


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file,class\n1.png,cat\n", "line 1: the header is 'file,class', expected path,label"),
        ("", "line 1: the header is ''"),
        ("path,label\n1.png,cat\n2.png,\n", "line 3: path '2.png' and label '' must both be given"),
        ("path,label\n1.png,cat\n2.png\n", "line 3: path '2.png' and label ''"),
        ("path,label\n1.png,cat\nno.png,dog\n", "line 3: there is no file 'no.png'"),
        ("path,label\n1.png,cat\n1.png,dog\n", "line 3: '1.png' stands on line 2 already"),
        ("path,label,split\n1.png,cat,dev\n", "line 2: split 'dev' is not one of train, val"),
        ("path,label,split\n1.png,cat,\n", "line 2: split '' is not one of"),
    ],
)
def test_bad_index_line_is_named(write_tree, rows, message):
    root = write_tree("1.png", "2.png")
    (root / "set.csv").write_text(rows)
    with pytest.raises(DataError, match=message):
        IndexFile(root / "set.csv")


def test_missing_or_binary_index_file_is_an_error(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        IndexFile(tmp_path / "binary.csv")
    with pytest.raises(DataError, match="cannot be read"):
        IndexFile(tmp_path / "none.csv")
