import io
import logging
import shutil
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modicum.datasets.images import ImageSet, StoredImage
from modicum.restore.patch_options import PatchOptions
from modicum.restore.preparation import open_parts, prepare_images
from modicum.restore.sources import library_photos, open_images
from modicum.restore.task import Task
from modicum.storage.errors import DataError
from modicum.storage.runs import RunFolder

NOISE = Task("denoise", 50)
OPTIONS = PatchOptions(side=16)


def same(content):
    return content


def png(value, size=(20, 18)):
    stream = io.BytesIO()
    Image.new("L", size, value).save(stream, "PNG")
    return stream.getvalue()


def image_set(*contents, parts=None):
    parts = parts or [None] * len(contents)
    images = [
        StoredImage(f"{number}.png", partial(same, content), part)
        for number, (content, part) in enumerate(zip(contents, parts, strict=True))
    ]
    return ImageSet("some images", "somewhere", tuple(images))


def plain_set(count):
    return image_set(*(png(value) for value in range(count)))


@given(count=st.integers(3, 40), seed=st.integers(0, 99))
def test_every_image_is_in_one_part_and_no_part_is_empty(count, seed):
    prepared = prepare_images(plain_set(count), NOISE, OPTIONS, seed=seed)
    parts = prepared.splits.ids()
    assert sorted(name for names in parts.values() for name in names) == sorted(f"{n}.png" for n in range(count))
    assert all(parts.values())
    assert len(parts["test"]) == len(parts["calibration"]) == max(round(0.1 * count), 1)


def test_division_belongs_to_the_seed():
    first, again, other = (prepare_images(plain_set(30), NOISE, OPTIONS, seed=seed).splits.ids() for seed in (1, 1, 2))
    assert first == again != other


def test_given_parts_stay_and_missing_ones_are_cut_from_the_rest():
    images = image_set(*(png(value) for value in range(20)), parts=["test"] * 5 + ["train"] * 5 + [None] * 10)
    prepared = prepare_images(images, NOISE, OPTIONS)
    assert prepared.splits.ids()["test"] == tuple(f"{number}.png" for number in range(5))
    assert (len(prepared.splits.calibration), len(prepared.splits.train)) == (2, 13)


def test_copies_stand_in_one_part_only(caplog):
    images = image_set(png(1), png(1), png(2), png(3), parts=["train", "test", "calibration", "train"])
    with caplog.at_level(logging.WARNING):
        prepared = prepare_images(images, NOISE, OPTIONS)
    assert prepared.splits.ids() == {"train": ("3.png",), "calibration": ("2.png",), "test": ("1.png",)}
    assert "left out 0.png: equals 1.png" in caplog.text


def test_bad_images_are_named_and_left_out(caplog):
    images = image_set(png(1), b"no image", png(2, (15, 40)), png(3), png(4))
    with caplog.at_level(logging.WARNING):
        prepared = prepare_images(images, NOISE, OPTIONS)
    assert [failure.name for failure in prepared.left_out] == ["1.png", "2.png"]
    assert "1.png: not an image" in caplog.text
    assert "2.png: its 15x40 pixels do not hold a patch of 16 pixels" in caplog.text


def test_patches_of_targets_must_fit():
    prepared = prepare_images(
        image_set(*(png(value, (40, 40)) for value in range(3)), png(9)), Task("super-resolution", 2), OPTIONS
    )
    assert [failure.name for failure in prepared.left_out] == ["3.png"]


def test_strict_refuses_bad_images():
    images = image_set(png(1), png(2), png(3), b"")
    with pytest.raises(DataError, match=r"1 image\(s\) of somewhere cannot be used:\n  3.png: the file is empty"):
        prepare_images(images, NOISE, PatchOptions(side=16, strict=True))


def test_too_few_images_are_refused():
    message = r"somewhere has 2 usable image\(s\), none of them for train: training needs at least three"
    with pytest.raises(DataError, match=message):
        prepare_images(plain_set(2), NOISE, OPTIONS)


def test_default_photographs_are_all_used():
    prepared = prepare_images(library_photos(), NOISE, PatchOptions())
    assert prepared.splits.sizes() == {"train": 8, "calibration": 2, "test": 4}
    assert prepared.left_out == ()


def test_files_of_other_suffixes_are_told_and_refused_where_strict(photos_folder, tmp_path, caplog):
    shutil.copytree(photos_folder, tmp_path / "set")
    (tmp_path / "set" / "train" / "9.HEIC").write_bytes(b"")
    images = open_images(tmp_path / "set")
    prepare_images(images, Task("denoise", 50), PatchOptions(side=16))
    assert "1 file of" in caplog.text
    assert "(1 .heic), 'train/9.HEIC'" in caplog.text
    with pytest.raises(DataError, match=r"1 file of .* is not read for its suffix \(1 \.heic\)"):
        prepare_images(images, Task("denoise", 50), PatchOptions(side=16, strict=True))


def test_image_that_changed_behind_its_name_is_noticed(tmp_path):
    run = RunFolder.create(tmp_path / "run", system="test", recipe_text="", command="", versions={})
    (tmp_path / "images").mkdir()
    for number in range(12):
        (tmp_path / "images" / f"{number}.png").write_bytes(png(number))
    data = str(tmp_path / "images")
    test = open_parts(data, NOISE, OPTIONS, 0, run).splits.test[0]
    (tmp_path / "images" / test).write_bytes(png(200))
    with pytest.raises(DataError, match=rf"^1 of 12 samples of .*images are not what .* begun with: '{test}' changed"):
        open_parts(data, NOISE, OPTIONS, 0, run)
    open_parts(data, NOISE, OPTIONS, 0, run, parts=("calibration",))
