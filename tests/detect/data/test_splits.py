from collections import Counter

import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.data.groups import find_groups
from modicum.detect.data.scanning import scan
from modicum.detect.data.splits import make_splits
from modicum.storage.errors import DataError


def parts(splits):
    return {name: part for part in ("train", "calibration", "test") for name in splits.part(part)}


def sequence_of(name):
    return name.split("-")[0]


@pytest.fixture
def flights(write_coco, tmp_path):
    """Five sequences of four frames."""
    names = [f"{flight}-{number}.png" for flight in "abcde" for number in (8, 9, 10, 11)]
    write_coco("annotations.json", {name: [{"bbox": [1, 1, 5, 5]}] for name in names})
    return AnnotatedFiles(tmp_path)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (
            ["x/DJI_0005-0018.jpg", "x/DJI_0005-0019.jpg", "x/DJI-00760-00001.jpg", "x/MunichStreet02-MOS78.jpg"],
            ["x/DJI_0005", "x/DJI_0005", "x/DJI-00760", "x/MunichStreet02"],
        ),
        (["c1/001.jpg", "c1/002.jpg", "c2/001.jpg", "c3/001.jpg"], ["c1", "c1", "c2", "c3"]),
        (
            ["a_jpg.rf.0f3c.jpg", "a_jpg.rf.77aa.jpg", "b_jpg.rf.1.jpg", "c_jpg.rf.2.jpg"],
            ["a_jpg", "a_jpg", "b_jpg", "c_jpg"],
        ),
        (["000000000139.jpg", "000000000285.jpg", "000000000632.jpg"], [None] * 3),
        (["FudanPed00001.png", "FudanPed00002.png", "PennPed00001.png"], [None] * 3),
        (["lake.jpg", "tree.jpg", "road.jpg"], [None] * 3),
    ],
    ids=["drone", "clips", "roboflow", "coco", "pennfudan", "words"],
)
def test_names_tell_of_sequences_where_they_do(names, groups):
    assert find_groups(names) == groups


def test_frames_of_a_sequence_stay_in_one_part(flights):
    found = scan(flights).pictures
    for seed in range(5):
        splits = make_splits(flights, found, calibration=0.2, test=0.2, seed=seed)
        part_of = parts(splits)
        assert len({(sequence_of(name), part) for name, part in part_of.items()}) == 5
        assert Counter(part_of.values()) == {"train": 12, "calibration": 4, "test": 4}
    draws = {make_splits(flights, found, calibration=0.2, test=0.2, seed=seed).test for seed in range(5)}
    assert len(draws) > 1


def test_split_in_time_gives_the_end_of_each_sequence_to_the_test(flights):
    splits = make_splits(flights, scan(flights).pictures, by="time")
    assert set(splits.train) == {f"{flight}-{number}.png" for flight in "abcde" for number in (8, 9)}
    assert set(splits.calibration) == {f"{flight}-10.png" for flight in "abcde"}
    assert set(splits.test) == {f"{flight}-11.png" for flight in "abcde"}


def test_sequences_that_share_a_copy_stay_together(write_coco, write_picture, tmp_path):
    names = [f"{flight}-{number}.png" for flight in "abcd" for number in range(3)]
    write_coco("annotations.json", {name: [{"bbox": [1, 1, 5, 5]}] for name in names})
    (tmp_path / "b-2.png").write_bytes((tmp_path / "a-0.png").read_bytes())
    source = AnnotatedFiles(tmp_path)
    found = scan(source).pictures
    for seed in range(6):
        part_of = parts(make_splits(source, found, seed=seed))
        assert len({part_of[name] for name in names if sequence_of(name) in "ab"}) == 1


def test_sequences_that_copies_make_one_are_split_by_picture(write_coco, tmp_path):
    names = [f"{flight}-{number}.png" for flight in "abc" for number in range(3)]
    write_coco("annotations.json", {name: [{"bbox": [1, 1, 5, 5]}] for name in names})
    for flight in "bc":
        (tmp_path / f"{flight}-0.png").write_bytes((tmp_path / "a-0.png").read_bytes())
    source = AnnotatedFiles(tmp_path)
    found = scan(source).pictures
    assert min(make_splits(source, found).sizes().values()) >= 1
    with pytest.raises(DataError, match="none of them for train or calibration"):
        make_splits(source, found, by="sequence")


def test_pictures_without_sequences_are_drawn_one_by_one(write_coco, tmp_path):
    write_coco("annotations.json", {f"{number:06d}.png": [{"bbox": [1, 1, 5, 5]}] for number in range(20)})
    source = AnnotatedFiles(tmp_path)
    found = scan(source).pictures
    assert Counter(parts(make_splits(source, found)).values()) == {"train": 10, "calibration": 5, "test": 5}
    with pytest.raises(DataError, match="names of pictures tell of no sequences: call frames <sequence>-<number>"):
        make_splits(source, found, by="sequence")


def test_parts_that_the_set_has_stay(write_coco, tmp_path):
    for part, count in (("train", 8), ("valid", 2), ("test", 2)):
        names = [f"{part}-{number}.png" for number in range(count)]
        write_coco(f"{part}/_annotations.coco.json", {n: [{"bbox": [1, 1, 5, 5]}] for n in names}, folder=f"{part}/")
    source = AnnotatedFiles(tmp_path)
    splits = make_splits(source, scan(source).pictures)
    assert splits.sizes() == {"train": 8, "calibration": 2, "test": 2}
