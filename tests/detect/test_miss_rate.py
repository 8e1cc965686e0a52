"""The log-average miss rate against loops over thresholds, and the traps of the public script."""

import numpy as np
import pytest
import torch
from drawn_sets import as_boxes, draw_images
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.boxes import Detections, Objects
from modicum.detect.miss_rate import Heights, log_average_miss_rate

POINTS = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def share(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / ((a[2] - a[0]) * (a[3] - a[1]))


def judge(found, objects, least, most):
    """Of one image: (score, whether it is a hit) of each detection that counts, and how many objects there are."""
    rows = sorted(zip(found.scores.tolist(), found.boxes.double().tolist(), strict=True), key=lambda row: -row[0])
    rows = [(score, box) for score, box in rows if least / 1.25 <= box[3] - box[1] < most * 1.25]
    targets = objects.boxes.double().tolist()
    ignored = [
        flag or not least <= box[3] - box[1] < most for box, flag in zip(targets, objects.ignore.tolist(), strict=True)
    ]
    taken, judged = set(), []
    for score, box in rows:
        best = max(
            (place for place in range(len(targets)) if not ignored[place] and place not in taken),
            key=lambda place: iou(box, targets[place]),
            default=None,
        )
        if best is not None and iou(box, targets[best]) >= 0.5:
            taken.add(best)
            judged.append((score, True))
        elif not any(ignored[place] and share(box, targets[place]) >= 0.5 for place in range(len(targets))):
            judged.append((score, False))
    return judged, ignored.count(False)


def reference(found, objects, least=0.0, most=float("inf")):
    images = [judge(own, wanted, least, most) for own, wanted in zip(found, objects, strict=True)]
    total = sum(wanted for _, wanted in images)
    rows = sorted((row for judged, _ in images for row in judged), key=lambda row: -row[0])
    misses = []
    for point in POINTS:
        hits = alarms = recalled = 0
        for _, is_hit in rows:
            hits, alarms = hits + is_hit, alarms + (not is_hit)
            if alarms / len(images) <= point:
                recalled = hits
        misses.append(max(1 - recalled / total, 1e-10))
    return float(np.exp(np.mean(np.log(misses))))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_it_is_that_of_loops_over_thresholds(seed):
    found, objects = draw_images(seed, 12, num_classes=1)

    assert log_average_miss_rate(found, objects) == pytest.approx(reference(found, objects), abs=1e-9)
    tall = log_average_miss_rate(found, objects, heights=Heights(50.0))
    assert tall == pytest.approx(reference(found, objects, least=50.0), abs=1e-9)


def person(score, box=(0, 0, 20, 60)):
    return Detections(as_boxes([box]), torch.tensor([score]), torch.zeros(1, dtype=torch.int64))


def people(*boxes, ignore=False):
    count = len(boxes)
    return Objects(as_boxes(boxes), torch.zeros(count, dtype=torch.int64), torch.full((count,), ignore))


FAR = (300.0, 300.0, 320.0, 360.0)


def test_false_alarm_before_everything_else_leaves_no_recall():
    """On ten images the first alarm is 0.1 per image, beyond the four lowest points; the public script is too good."""
    found = [Detections.join([person(0.9, FAR), person(0.5)])] + [Detections.empty()] * 9
    objects = [people((0, 0, 20, 60))] + [Objects.empty()] * 9

    measured = log_average_miss_rate(found, objects)

    assert measured == pytest.approx(np.exp(5 / 9 * np.log(1e-10)))  # a recall of 0 at four points, of 1 at five


def test_everything_found_is_no_logarithm_of_zero():
    assert log_average_miss_rate([person(0.9)], [people((0, 0, 20, 60))]) == pytest.approx(1e-10)


def test_nothing_found_is_a_miss_rate_of_one():
    assert log_average_miss_rate([Detections.empty()], [people((0, 0, 20, 60))]) == 1


def test_ignored_people_absorb_detections_by_the_share_of_the_detection():
    crowd, small = people((0, 0, 200, 200), ignore=True), person(0.9)  # by union, they overlap by 3 %

    assert log_average_miss_rate([small, person(0.5)], [crowd, people((0, 0, 20, 60))]) == pytest.approx(1e-10)


def test_detections_far_below_the_range_of_heights_do_not_count():
    low, nearly = person(0.9, (0, 0, 20, 39)), person(0.9, (0, 0, 20, 41))
    found, objects = [person(0.5), low], [people((0, 0, 20, 60)), Objects.empty()]

    assert log_average_miss_rate(found, objects, heights=Heights(50.0)) == pytest.approx(1e-10)
    assert log_average_miss_rate([found[0], nearly], objects, heights=Heights(50.0)) > 1e-7


def test_images_without_such_objects_have_no_miss_rate():
    assert log_average_miss_rate([person(0.9)], [Objects.empty()]) is None
    assert log_average_miss_rate([person(0.9)], [people((0, 0, 20, 60))], heights=Heights(100.0)) is None


def test_heights_must_rise():
    with pytest.raises(ValueError, match=r"heights must rise from least to most, got 75\.0 and 50"):
        Heights(75.0, 50)
