import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.saliency.data.scanning import Scan
from modicum.saliency.data.sources import PairSource, Record
from modicum.saliency.data.splits import Splits, make_splits
from modicum.storage.errors import DataError
from modicum.storage.sealing import write_sealed


class Named(PairSource):
    """Records alone."""

    def __init__(self, splits):
        self.name, self.origin = "", "the set"
        self.records = tuple(Record(f"image {number}", split) for number, split in enumerate(splits))

    def pair(self, index):
        raise AssertionError("nothing is decoded here")

    def digest(self, index):
        raise AssertionError("digests come from the scan")

    def content(self, index):
        raise AssertionError("nothing is compared here")


def found(digests):
    return Scan(tuple(range(len(digests))), (), tuple(digests))


@given(st.lists(st.integers(0, 30), min_size=12, max_size=60).filter(lambda x: len(set(x)) > 8), st.integers(0, 5))
def test_parts_are_disjoint_and_copies_stay_together(contents, seed):
    splits = make_splits(Named([None] * len(contents)), found([str(c) for c in contents]), seed=seed)
    parts = [{contents[int(name.split()[1])] for name in splits.part(p)} for p in ("train", "calibration", "test")]
    assert sum(map(len, parts)) == len(set(contents))
    assert sum(len(splits.part(p)) for p in ("train", "calibration", "test")) == len(contents)


def test_parts_of_the_set_stay_and_the_missing_one_is_drawn_from_training():
    splits = make_splits(Named(["train"] * 20 + ["test"] * 5), found([str(n) for n in range(25)]), calibration=0.1)
    assert splits.test == tuple(f"image {n}" for n in range(20, 25))
    assert (len(splits.train), len(splits.calibration)) == (18, 2)


def test_training_copy_of_a_test_image_is_left_out():
    splits = make_splits(Named(["train"] * 20 + ["test"] * 2), found([*map(str, range(20)), "0", "x"]))
    assert "image 0" not in splits.train + splits.calibration
    assert splits.test == ("image 20", "image 21")


def test_too_small_a_set_is_refused():
    with pytest.raises(DataError, match=r"2 usable image\(s\), none left for train"):
        make_splits(Named([None, None]), found("ab"))


def test_saved_splits_are_read_again(tmp_path):
    splits = Splits(("a", "b"), ("c",), ("d",), 3)
    splits.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == splits


def test_overlapping_splits_are_refused():
    with pytest.raises(DataError, match="the splits overlap: 'a'"):
        Splits(("a",), ("a",), ("b",), 0)


def test_damaged_splits_are_refused(tmp_path):
    write_sealed(tmp_path / "splits.json", {})
    with pytest.raises(DataError, match="damaged file of splits"):
        Splits.load(tmp_path / "splits.json")


def test_image_that_has_gone_is_named():
    splits = Splits(("image 0", "image 7"), ("image 1",), ("image 2",), 0)
    with pytest.raises(DataError, match="1 of 2 train images are no longer in the set, 'image 7'"):
        splits.indices(Named([None] * 3), "train")
