from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.datasets.contents import sample_digest
from modicum.datasets.scan import Scan
from modicum.datasets.sources import PARTS, Record
from modicum.datasets.splits import Splits, make_splits, splits_of_run
from modicum.storage.errors import DataError
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import write_sealed

SPLITS = Splits(("a", "b"), ("c",), ("d",), 3)


def listed(splits):
    """A set of which nothing is known but the parts that it gives its samples."""
    records = tuple(Record(f"sample {number}", split) for number, split in enumerate(splits))
    return SimpleNamespace(origin="the set", records=records, unread=())


def found(digests):
    return Scan(tuple(range(len(digests))), tuple(map(str, digests)))


def drawn(splits, digests, **options):
    return make_splits(listed(splits), found(digests), **({"calibration": 0.1, "test": 0.2} | options))


@given(st.lists(st.integers(0, 30), min_size=12, max_size=60).filter(lambda x: len(set(x)) > 8), st.integers(0, 5))
def test_parts_are_disjoint_and_copies_stay_together(contents, seed):
    splits = drawn([None] * len(contents), contents, seed=seed)
    parts = [{contents[int(name.split()[1])] for name in splits.part(part)} for part in PARTS]
    assert sum(map(len, parts)) == len(set(contents))
    assert sum(splits.sizes().values()) == len(contents)


@settings(deadline=None)
@given(data=st.data())
def test_copies_across_given_parts_stay_in_the_most_important_only(data):
    rows = [("train", n) for n in range(9)] + [("calibration", n) for n in (20, 21)] + [("test", n) for n in (30, 31)]
    copied = data.draw(st.lists(st.sampled_from(rows[::2]), max_size=10))  # the others stay single: no part dies out
    rows += [(data.draw(st.sampled_from(PARTS)), digest) for _, digest in copied]
    splits = drawn(*zip(*rows, strict=True))
    for number, (part, digest) in enumerate(rows):
        most_important = max((other for other, same in rows if same == digest), key=PARTS.index)
        assert (f"sample {number}" in splits.part(most_important)) == (part == most_important)


def test_parts_of_the_set_stay_and_the_missing_one_is_drawn_from_training():
    splits = drawn(["train"] * 20 + ["test"] * 5, range(25))
    assert splits.test == tuple(f"sample {n}" for n in range(20, 25))
    assert splits.sizes() == {"train": 18, "calibration": 2, "test": 5}


def test_complete_given_splits_stay_as_they_are():
    given_parts = ["train"] * 6 + ["calibration"] * 4 + ["test"] * 2
    splits = drawn(given_parts, range(12))
    assert splits.sizes() == {part: given_parts.count(part) for part in PARTS}
    assert splits.train == tuple(f"sample {n}" for n in range(6))


def test_training_copy_of_a_test_sample_is_left_out():
    splits = drawn(["train"] * 20 + ["test"] * 2, [*range(20), 0, "x"])
    assert "sample 0" not in splits.train + splits.calibration
    assert splits.test == ("sample 20", "sample 21")


def test_bad_samples_are_in_no_part():
    splits = make_splits(listed([None] * 10), Scan(tuple(range(1, 10)), tuple("bcdefghij")), calibration=0.1, test=0.1)
    assert "sample 0" not in (*splits.train, *splits.calibration, *splits.test)


def test_splits_are_a_function_of_the_seed():
    first, again, other = (drawn([None] * 30, range(30), seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.test != other.test


def test_too_small_a_set_is_refused():
    with pytest.raises(DataError, match=r"the set has 2 usable image\(s\), none of them for train: training needs"):
        drawn([None, None], "ab")


@pytest.mark.parametrize("shares", [(0, 0.1), (0.5, 0.5), (-0.1, 0.2)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match="must be positive and sum to less than 1, got"):
        drawn([None] * 40, range(40), calibration=shares[0], test=shares[1])


def test_saved_splits_load_equal_and_leave_no_other_file(tmp_path):
    for _ in range(2):
        SPLITS.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == SPLITS
    assert [file.name for file in tmp_path.iterdir()] == ["splits.json"]


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    SPLITS.save(tmp_path / "splits.json")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        Splits((), (), (), 1).save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == SPLITS
    assert len(list(tmp_path.iterdir())) == 1


GOOD_FILE = {"format": "modicum-splits", "version": 1, "train": ["a"], "calibration": ["b"], "test": ["c"], "seed": 0}


@pytest.mark.parametrize("missing", [("format", "version"), ("format", "version", "seed")])
def test_file_of_a_run_that_noted_less_is_read(tmp_path, missing):
    write_sealed(tmp_path / "splits.json", {key: value for key, value in GOOD_FILE.items() if key not in missing})
    seed = None if "seed" in missing else 0
    assert Splits.load(tmp_path / "splits.json") == Splits(("a",), ("b",), ("c",), seed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "is a damaged file of splits"),
        ({"format": "other"}, "is not a file of splits"),
        (GOOD_FILE | {"version": 2}, "has version 2 of the format, this modicum reads 1"),
        (GOOD_FILE | {"test": None}, "is a damaged file of splits"),
        (GOOD_FILE | {"test": ["a"]}, "the splits overlap: 'a'"),
    ],
)
def test_unusable_file_is_explained(tmp_path, content, message):
    write_sealed(tmp_path / "splits.json", content)
    with pytest.raises(DataError, match=message):
        Splits.load(tmp_path / "splits.json")


def test_missing_file_is_explained(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Splits.load(tmp_path / "splits.json")


def test_samples_that_are_gone_are_named_where_they_are_asked_for():
    splits = Splits(("sample 0", "sample 7"), ("sample 1",), ("sample 2",), 0)
    with pytest.raises(DataError, match="1 of 2 samples of the splits are no longer in the set: 'sample 7'"):
        splits.indices(listed([None] * 3), "train")
    assert splits.indices(listed([None] * 3), "test") == [2]


def test_run_keeps_its_splits_and_notices_changed_samples(tmp_path):
    run = RunFolder.create(tmp_path / "run", system="test", recipe_text="", command="", versions={})
    source = listed([None] * 20)

    def splits_with(seed, changed="", parts=PARTS):
        def digest(name):
            return sample_digest(b"changed" if name == changed else name.encode())

        def draw():
            return drawn([None] * 20, range(20), seed=seed)

        return splits_of_run(run, source, draw, digest, parts)

    first = splits_with(seed=0)
    assert splits_with(seed=1) == first
    with pytest.raises(DataError, match=r"1 of 20 samples of the set are not what .* was begun with"):
        splits_with(seed=0, changed=first.test[0])
    assert splits_with(seed=0, changed=first.test[0], parts=("calibration",)) == first
