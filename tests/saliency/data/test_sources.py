import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modicum.saliency.data.opening import open_source
from modicum.saliency.data.sources import FilePairs, decode_mask
from modicum.storage.errors import DataError


def encoded(array, form="PNG", mode=None):
    stream = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(stream, form)
    return stream.getvalue()


TRUTH = np.zeros((10, 12), np.uint8)
TRUTH[2:6, 3:9] = 255


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_masks_of_any_pixel_type_are_read_alike(mode):
    np.testing.assert_array_equal(decode_mask(encoded(TRUTH, mode=mode)), TRUTH)


def test_mask_of_zeros_and_ones_means_black_and_white():
    np.testing.assert_array_equal(decode_mask(encoded(TRUTH // 255)), TRUTH)


def test_black_mask_stays_black():
    assert decode_mask(encoded(np.zeros((4, 4), np.uint8))).max() == 0


def test_soft_values_are_kept():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode_mask(encoded(ramp)), ramp)


def test_graded_masks_are_cut_at_a_half(tmp_path):
    for folder, array in (("imgs", np.zeros((1, 4, 3), np.uint8)), ("masks", np.array([[0, 127, 128, 255]], np.uint8))):
        (tmp_path / folder / "pascal").mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / folder / "pascal" / "1.png")
    assert FilePairs(tmp_path).pair(0).mask.tolist() == [[0, 0, 255, 255]]


def test_tar_and_folder_give_the_same(tmp_path, write_pair):
    folder = tmp_path / "set"
    write_pair(folder / "images/a.png", folder / "masks/a.png")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(folder, arcname=".")
    from_tar, from_folder = FilePairs(tmp_path / "set.tar"), FilePairs(folder)
    assert from_tar.records[0].id == "set/images/a.png"
    assert from_tar.digest(0) == from_folder.digest(0)
    np.testing.assert_array_equal(from_tar.pair(0).mask, from_folder.pair(0).mask)


def test_lists_of_all_folders_are_read(tmp_path, write_pair):
    for folder, listed in (("a", "1"), ("b", "2")):
        for name in "12":
            write_pair(tmp_path / folder / f"images/{name}.png", tmp_path / folder / f"masks/{name}.png")
        (tmp_path / folder / "train.txt").write_text(listed)
    assert [(r.id, r.split) for r in FilePairs(tmp_path).records] == [
        ("a/images/1.png", "train"),
        ("b/images/2.png", "train"),
    ]


def test_source_can_be_pickled(tmp_path, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png")
    source = pickle.loads(pickle.dumps(FilePairs(tmp_path)))
    assert source.pair(0).pixels.shape == (16, 24, 3)


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist: give a folder with images/ and masks/"):
        open_source(str(tmp_path / "nowhere"))


def test_other_file_is_refused(tmp_path):
    file = tmp_path / "set.zip"
    file.write_bytes(b"")
    with pytest.raises(DataError, match="neither a folder nor an uncompressed"):
        open_source(str(file))


@pytest.mark.data
@pytest.mark.skipif("MODICUM_DATA" not in os.environ, reason="MODICUM_DATA does not say where the real data sets are")
def test_real_ecssd_has_a_mask_of_its_size_for_every_image():
    source = open_source(str(Path(os.environ["MODICUM_DATA"]) / "ecssd"))
    splits = [record.split for record in source.records]
    assert (splits.count("train"), splits.count("test")) == (400, 100)
    for index in (0, 250, 499):
        pixels, mask = source.pair(index)
        assert pixels.shape[:2] == mask.shape
        assert set(np.unique(mask)) == {0, 255}
