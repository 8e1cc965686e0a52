"""Two published sets, as they are stored for development; skipped where they are absent."""

from collections import Counter

import numpy as np
import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.data.scanning import scan
from modicum.detect.data.splits import make_splits

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def cars(real_data):
    return AnnotatedFiles(real_data / "aerial_cars")


@pytest.fixture(scope="module")
def pedestrians(real_data):
    return AnnotatedFiles(real_data / "pennfudan")


def test_aerial_cars_has_the_pictures_boxes_and_classes_of_its_readme(cars):
    found = scan(cars)
    assert cars.classes == ("car", "truck", "bus", "minibus", "cyclist")
    assert dict(zip(cars.classes, found.objects.sum(axis=0).tolist(), strict=True)) == {
        "car": 1029,
        "truck": 4,
        "bus": 42,
        "minibus": 32,
        "cyclist": 0,
    }
    assert Counter(found.sizes) == {(1920, 1080): 24, (1764, 430): 8, (684, 547): 4, (1284, 377): 4}
    assert (found.pictures.bad, found.pictures.copies) == ((), 0)


def test_frames_of_a_flight_are_never_in_two_parts(cars):
    splits = make_splits(cars, scan(cars).pictures, calibration=0.2, test=0.2)
    group = {record.id: record.group for record in cars.records}
    sides = [{group[name] for name in splits.part(part)} for part in ("train", "calibration", "test")]
    assert len(set.union(*sides)) == sum(map(len, sides)) == 6
    assert all(sides)


def test_pennfudan_has_the_pictures_and_boxes_of_its_readme(pedestrians):
    found = scan(pedestrians)
    assert (len(found.pictures.good), int(found.objects.sum()), found.faults.total) == (170, 423, 0)
    heights = np.concatenate([b[:, 3] - b[:, 1] for b in (pedestrians.sample(i).objects.boxes for i in range(170))])
    assert (heights.min(), heights.max(), np.median(heights)) == (20, 376, 287)
    assert {record.group for record in pedestrians.records} == {None}
