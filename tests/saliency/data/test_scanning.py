import shutil

import numpy as np
import pytest
from PIL import Image

from modicum.prediction import Failure
from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import FilePairs
from modicum.storage.errors import DataError


def two_pairs(folder, write_pair):
    for name in "ab":
        write_pair(folder / f"images/{name}.png", folder / f"masks/{name}.png")


def test_sizes_that_disagree_are_named_both(tmp_path, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png", mask_size=(23, 16))
    with pytest.raises(DataError, match=r"images/a\.png: the image has 24x16 pixels, the mask 23x16"):
        scan(FilePairs(tmp_path))


@pytest.mark.parametrize("part", ["images", "masks"])
def test_unreadable_file_is_left_out_and_named(tmp_path, write_pair, part):
    two_pairs(tmp_path, write_pair)
    (tmp_path / part / "a.png").write_bytes(b"")
    found, _ = scan(FilePairs(tmp_path))
    assert (found.good, found.bad) == ((1,), (Failure("images/a.png", "the file is empty"),))


def test_set_without_a_readable_image_is_refused(tmp_path, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png")
    (tmp_path / "images/a.png").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be used"):
        scan(FilePairs(tmp_path))


@pytest.fixture
def different_pairs(tmp_path, write_pair):
    """Two pairs whose images differ."""
    two_pairs(tmp_path, write_pair)
    overwrite(tmp_path / "images/b.png", np.random.default_rng(9).integers(0, 256, (16, 24, 3)))


def overwrite(file, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(file)


@pytest.mark.parametrize(
    ("values", "found"),
    [((0, 0), "2 are empty, 0 full"), ((255, 255), "0 are empty, 2 full"), ((0, 255), "1 are empty, 1 full")],
)
def test_set_whose_masks_are_all_empty_or_full_is_refused(tmp_path, write_pair, values, found):
    two_pairs(tmp_path, write_pair)
    for name, value in zip("ab", values, strict=True):
        overwrite(tmp_path / f"masks/{name}.png", np.full((16, 24), value))
    with pytest.raises(DataError, match=rf"none of the 2 masks .* tells salient pixels from others: {found}"):
        scan(FilePairs(tmp_path))


@pytest.mark.usefixtures("different_pairs")
def test_some_empty_masks_are_named_and_used(tmp_path):
    overwrite(tmp_path / "masks/a.png", np.zeros((16, 24)))
    found, blank = scan(FilePairs(tmp_path))
    assert (found.good, blank) == ((0, 1), ("images/a.png",))


@pytest.fixture
def contradicting(tmp_path, different_pairs):
    """Two images, and copies of both, of which one has another mask."""
    for name in "ab":
        for kind in ("images", "masks"):
            shutil.copy(tmp_path / kind / f"{name}.png", tmp_path / kind / f"copy of {name}.png")
    overwrite(tmp_path / "masks/copy of a.png", np.pad(np.full((8, 12), 255), ((8, 0), (12, 0))))
    return FilePairs(tmp_path)


def test_copies_with_different_masks_are_named_and_left_out(contradicting):
    found, _ = scan(contradicting)
    assert found.contradictions == (("images/a.png", "images/copy of a.png"),)
    assert [contradicting.records[index].id for index in found.good] == ["images/b.png", "images/copy of b.png"]


def test_contradictions_are_kept_where_they_are_asked_for(contradicting):
    found, _ = scan(contradicting, keep_contradictions=True)
    assert (len(found.good), found.contradictions) == (4, ())


def test_files_of_other_suffixes_are_counted(tmp_path, write_pair):
    two_pairs(tmp_path, write_pair)
    for kind in ("images", "masks"):
        (tmp_path / kind / "c.HEIC").write_bytes(b"")
    source = FilePairs(tmp_path)
    assert scan(source)[0].unread == ("images/c.HEIC", "masks/c.HEIC")
