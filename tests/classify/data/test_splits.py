from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.classify.data.archives import TarImages
from modicum.classify.data.scan import scan
from modicum.classify.data.sources import ImageSource, Record
from modicum.classify.data.splits import make_splits, split_off_test
from modicum.datasets.scan import Scan
from modicum.datasets.sources import PARTS
from modicum.storage.errors import DataError


class ListedImages(ImageSource):
    """Images that exist as (label, split, digest) only."""

    def __init__(self, rows):
        self.name, self.origin = "listed", "a list"
        self.classes = tuple(f"class{label}" for label in range(max(label for label, _, _ in rows) + 1))
        self.records = tuple(Record(f"image{i}", label, split) for i, (label, split, _) in enumerate(rows))
        self._digests = [digest for _, _, digest in rows]

    def pixels(self, index):
        return np.zeros((1, 1, 3), np.uint8)

    def digest(self, index):
        return self._digests[index]


def listed(counts, split=None, start=0):
    """Rows of distinct images: ``counts[label]`` of each class."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [(label, split, f"d{start + number}") for number, label in enumerate(labels)]


def split_rows(rows, **options):
    source = ListedImages(rows)
    return source, make_splits(source, scan_of(source), **options)


def scan_of(source):
    indices = tuple(range(len(source.records)))
    return Scan(indices, tuple(source.digest(i) for i in indices))


def class_counts(source, splits, part):
    counts = Counter(source.records[i].label for i in splits.indices(source, part))
    return [counts[label] for label in range(len(source.classes))]


COUNTS = st.lists(st.integers(10, 40), min_size=2, max_size=6)


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_parts_are_disjoint_and_complete(counts, seed):
    source, splits = split_rows(listed(counts), seed=seed)
    everything = [*splits.train, *splits.calibration, *splits.test]
    assert sorted(everything) == sorted(record.id for record in source.records)


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_every_class_has_about_its_share_of_each_part(counts, seed):
    source, splits = split_rows(listed(counts), seed=seed)
    for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
        found = class_counts(source, splits, part)
        assert min(found) >= 1
        assert np.abs(np.array(found) - share * np.array(counts)).max() < 3


@settings(deadline=None, max_examples=200)
@given(
    calibration=st.floats(0.05, 0.45),
    test=st.floats(0.05, 0.45),
    seed=st.integers(0, 100),
    extra=st.lists(st.integers(0, 30), min_size=2, max_size=5),
)
def test_number_of_images_that_the_error_calls_enough_is_enough(calibration, test, seed, extra):
    with pytest.raises(DataError, match="are enough") as caught:
        split_rows(listed([1, 1]), calibration=calibration, test=test)
    enough = int(str(caught.value).split(" are enough")[0].split()[-1])
    split_rows(listed([enough + more for more in extra]), calibration=calibration, test=test, seed=seed)


def test_splits_are_a_function_of_the_seed():
    rows = listed([30, 30])
    assert split_rows(rows, seed=3)[1] == split_rows(rows, seed=3)[1]
    assert split_rows(rows, seed=3)[1] != split_rows(rows, seed=4)[1]


@settings(deadline=None)
@given(seed=st.integers(0, 1000), copies=st.lists(st.integers(0, 39), max_size=30))
def test_copies_never_straddle(seed, copies):
    rows = listed([20, 20])
    source, splits = split_rows(rows + [rows[index] for index in copies], seed=seed)
    sides = {}
    for part in PARTS:
        for index in splits.indices(source, part):
            sides.setdefault(source.digest(index), set()).add(part)
    assert {len(found) for found in sides.values()} == {1}
    assert sum(len(splits.part(part)) for part in PARTS) == len(source.records)


def test_calibration_is_cut_from_train_when_only_test_is_given():
    source, splits = split_rows(listed([20, 20], "train") + listed([4, 4], "test", 90))
    assert class_counts(source, splits, "calibration") == [3, 3]
    assert class_counts(source, splits, "train") == [17, 17]
    assert splits.test == tuple(record.id for record in source.records if record.split == "test")


@pytest.mark.parametrize("counts", [[1, 40], [2, 40], [1, 1]])
def test_class_that_is_too_small_is_named_with_the_number_needed(counts):
    with pytest.raises(DataError, match=rf"class 'class0' of a list has {counts[0]} distinct .*: 10 are enough; add"):
        split_rows(listed(counts))


def test_given_part_without_a_class_is_an_error():
    rows = listed([20, 20], "train") + listed([4], "test", 90)
    with pytest.raises(DataError, match=r"class 'class1' .* none of them for test"):
        split_rows(rows)


def test_set_without_training_images_is_an_error():
    with pytest.raises(DataError, match="none of them for train or calibration"):
        split_rows(listed([20, 20], "test"))


def split_untrained(rows, **options):
    source = ListedImages(rows)
    return source, split_off_test(source, scan_of(source), **options)


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_set_without_parts_is_divided_into_the_same_test_and_all_else(counts, seed):
    source, splits = split_untrained(listed(counts), seed=seed)
    assert splits.test == split_rows(listed(counts), seed=seed)[1].test
    assert splits.train == ()
    assert sorted([*splits.calibration, *splits.test]) == sorted(record.id for record in source.records)


def test_calibration_and_test_of_the_set_stay_as_they_are():
    source, splits = split_untrained(listed([5, 5], "calibration") + listed([4, 4], "test", 90))
    assert class_counts(source, splits, "calibration") == [5, 5]
    assert class_counts(source, splits, "test") == [4, 4]


def test_test_part_is_drawn_from_a_calibration_part_alone():
    source, splits = split_untrained(listed([20, 20], "calibration"), test=0.25)
    assert class_counts(source, splits, "calibration") == [15, 15]
    assert class_counts(source, splits, "test") == [5, 5]


def test_copy_of_a_test_image_does_not_calibrate():
    rows = [*listed([5, 5], "calibration"), *listed([4, 4], "test", 90), (0, "calibration", "d90")]
    source, splits = split_untrained(rows)
    assert source.records[-1].id not in splits.calibration


def test_test_part_alone_leaves_nothing_for_calibration():
    with pytest.raises(DataError, match="a list has a test part alone, so nothing is left for calibration: add a val"):
        split_untrained(listed([20, 20], "test"))


def test_class_with_a_single_image_cannot_calibrate_and_test():
    with pytest.raises(DataError, match=r"class 'class0' of a list has 1 distinct image\(s\), none of them for"):
        split_untrained(listed([1, 20]))


@pytest.mark.data
def test_real_set_keeps_its_test_part(real_data):
    source = TarImages(real_data / "caltech101_40")
    splits = make_splits(source, scan(source))
    assert (len(splits.train), len(splits.calibration), len(splits.test)) == (1530, 270, 600)
