import logging
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from modicum.classify.cascade.member_data import check_shares, divide_images
from modicum.classify.cascade.member_sources import Found
from modicum.classify.cascade.members import Member
from modicum.classify.data.sources import ImageSource, Record
from modicum.classify.data.splits import make_splits
from modicum.classify.recipe import ImageOptions
from modicum.datasets.scan import Scan
from modicum.datasets.splits import Splits, splits_of_run
from modicum.nn.pretrained import ImageFormat
from modicum.storage.errors import DataError, RecipeError
from modicum.storage.runs import RunFolder

FORMAT = ImageFormat((0.5,) * 3, (0.5,) * 3, 32, 32, "bilinear")
STRANGER = Found(Member("stranger", 1.0, FORMAT, {}), nn.Identity(), 2, "stranger.onnx")


class ListedImages(ImageSource):
    """Distinct images of two classes, so many of each part."""

    def __init__(self, **counts):
        self.name, self.origin, self.classes = "listed", "photos/", ("cat", "dog")
        parts = [None if part == "flat" else part for part, count in counts.items() for _ in range(count)]
        self.records = tuple(Record(f"image{place}", place % 2, part) for place, part in enumerate(parts))

    def pixels(self, index):
        return np.zeros((1, 1, 3), np.uint8)

    def digest(self, index):
        return f"digest{index}"

    def scan(self):
        places = tuple(range(len(self.records)))
        return Scan(places, tuple(map(self.digest, places)))

    def digests(self):
        return {record.id: f"labelled {place}" for place, record in enumerate(self.records)}


def divide(source, members=(STRANGER,), seed=0, **options):
    return divide_images(source, source.scan(), source.digests(), members, ImageOptions(**options), seed)


def run_with(source, splits, path):
    """A member whose run has these parts of the images."""
    run = RunFolder.create(path, system="static", recipe_text="", command="", versions={})
    splits_of_run(run, source, lambda: splits, source.digests().__getitem__)
    return replace(STRANGER, source=str(path), run=run)


def test_all_images_of_a_flat_folder_that_are_not_for_the_test_calibrate(caplog):
    with caplog.at_level(logging.INFO):
        splits = divide(ListedImages(flat=100))
    assert splits.sizes() == {"train": 43, "calibration": 42, "test": 15}
    assert caplog.messages == [
        "photos/: 43 images for temperatures, members and thresholds, 42 for the knob, 15 for the test"
    ]


def test_share_of_the_test_is_the_one_that_is_asked_for():
    assert divide(ListedImages(flat=100), test_share=0.4).sizes() == {"train": 30, "calibration": 30, "test": 40}


def test_parts_without_a_training_part_stay_apart():
    source = ListedImages(calibration=40, test=20)
    splits = divide(source)
    assert splits.sizes() == {"train": 20, "calibration": 20, "test": 20}
    assert set(splits.test) == {record.id for record in source.records if record.split == "test"}


def test_training_part_does_not_calibrate(caplog):
    source = ListedImages(train=30, calibration=20, test=10)
    with caplog.at_level(logging.INFO):
        splits = divide(source)
    assert splits.sizes() == {"train": 10, "calibration": 10, "test": 10}
    assert caplog.messages[0].endswith("; unused: 30 of the training part, which members may have been trained on")


def test_calibration_part_that_the_set_lacks_is_drawn_from_its_training_part():
    splits = divide(ListedImages(train=100, test=10), calibration_share=0.2)
    assert splits.sizes() == {"train": 10, "calibration": 10, "test": 10}


def test_images_that_a_run_was_trained_on_do_not_calibrate(tmp_path, caplog):
    source = ListedImages(flat=100)
    run = run_with(source, make_splits(source, source.scan()), tmp_path / "run")
    with caplog.at_level(logging.INFO):
        splits = divide(source, [run, STRANGER])
    kept = make_splits(source, source.scan())
    assert {*splits.train, *splits.calibration} == set(kept.calibration)
    assert splits.test == kept.test
    assert caplog.messages[0].endswith(f"; unused: {len(kept.train)} that members were trained on")


def test_run_that_was_trained_on_test_images_is_refused(tmp_path):
    source = ListedImages(flat=100)
    run = run_with(source, make_splits(source, source.scan(), seed=1), tmp_path / "run")
    told = r"was trained on \d+ of the 15 test images, .* \(--seed 1, and the same images.test_share\)"
    with pytest.raises(DataError, match=told):
        divide(source, [run])


def test_too_few_images_that_no_member_was_trained_on_are_refused(tmp_path):
    source = ListedImages(flat=100)
    drawn = make_splits(source, source.scan())
    greedy = Splits((*drawn.train, *drawn.calibration[1:]), drawn.calibration[:1], drawn.test, 0)
    with pytest.raises(
        DataError, match=r"photos/ has 1 calibration image\(s\) that no member is known to be trained on"
    ):
        divide(source, [run_with(source, greedy, tmp_path / "run")])


def test_share_for_calibration_is_refused_where_nothing_else_uses_the_images():
    told = r"calibration_share does not apply with members, got 0.49: photos/ has no training part.*leave it out"
    with pytest.raises(RecipeError, match=told):
        check_shares(ListedImages(flat=8), ImageOptions(calibration_share=0.49))
    check_shares(ListedImages(train=8, test=4), ImageOptions(calibration_share=0.49))
    check_shares(ListedImages(flat=8), ImageOptions(test_share=0.49))
