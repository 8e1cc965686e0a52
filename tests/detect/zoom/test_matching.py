"""The match layer: gains by hand, and against loops."""

import numpy as np
import pytest
import torch
from drawn_sets import as_boxes, draw_image
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.boxes import Detections, Objects
from modicum.detect.zoom.matching import gain_recall, match_detections

OBJECT = (100.0, 100, 140, 180)
ELSEWHERE = (400.0, 100, 440, 180)


def found(*rows):
    """Detections of (box, score) and perhaps a class."""
    labels = torch.tensor([row[2] if len(row) > 2 else 0 for row in rows], dtype=torch.int64)
    return Detections(as_boxes([row[0] for row in rows]), torch.tensor([float(row[1]) for row in rows]), labels)


def objects(*boxes, ignore=False, label=0):
    count = len(boxes)
    return Objects(as_boxes(boxes), torch.full((count,), label), torch.full((count,), ignore))


def gains(coarse, fine, wanted):
    return match_detections(coarse, fine, wanted).gains.tolist()


def test_an_object_gains_what_the_fine_score_is_nearer_to_one():
    assert gains(found((OBJECT, 0.3)), found((OBJECT, 0.9)), objects(OBJECT)) == pytest.approx([0.6])


def test_a_false_alarm_gains_what_the_fine_score_is_nearer_to_zero():
    assert gains(found((OBJECT, 0.4)), found((OBJECT, 0.1)), objects()) == pytest.approx([0.3])


def test_a_detection_that_the_fine_detector_does_not_confirm_has_no_fine_score():
    assert gains(found((OBJECT, 0.4)), found((ELSEWHERE, 0.9)), objects()) == pytest.approx([0.4])
    assert gains(found((OBJECT, 0.4)), Detections.empty(), objects(OBJECT)) == pytest.approx([-0.4])  # looking hurts


def test_detections_of_another_class_confirm_nothing():
    assert gains(found((OBJECT, 0.4, 0)), found((OBJECT, 0.9, 1)), objects(OBJECT)) == pytest.approx([-0.4])


def test_an_object_is_found_by_its_best_detection_alone():
    near = (104.0, 100, 144, 180)

    matches = match_detections(found((near, 0.3), (OBJECT, 0.5)), found((OBJECT, 1.0)), objects(OBJECT))

    assert matches.hits.tolist() == [False, True]


def test_a_detection_in_a_region_to_be_ignored_teaches_nothing():
    crowd = objects((0, 0, 300, 300), ignore=True)

    matches = match_detections(found((OBJECT, 0.4), (ELSEWHERE, 0.4)), Detections.empty(), crowd)

    assert matches.counts.tolist() == [False, True]
    assert matches.gains.tolist() == pytest.approx([0, 0.4])
    assert len(matches.missed_boxes) == 0


def test_an_object_that_the_coarse_pass_missed_gains_the_fine_score():
    wanted = objects(OBJECT, ELSEWHERE)

    matches = match_detections(found((OBJECT, 0.5)), found((OBJECT, 0.9), (ELSEWHERE, 0.8)), wanted)

    assert matches.missed_boxes.tolist() == [list(ELSEWHERE)]
    assert matches.missed_gains.tolist() == pytest.approx([0.8])
    boxes, true = matches.true_gains()
    assert (boxes.shape, true.tolist()) == ((2, 4), pytest.approx([0.4, 0.8]))
    assert gain_recall([matches]) == pytest.approx(0.4 / 1.2)


def test_gain_recall_of_images_with_nothing_to_gain_is_unknown():
    assert np.isnan(gain_recall([match_detections(Detections.empty(), Detections.empty(), objects())]))


def test_classes_can_weigh_more():
    coarse, fine = found((OBJECT, 0.5, 1)), found((OBJECT, 0.9, 1))

    matches = match_detections(coarse, fine, objects(OBJECT, label=1), class_weights=[1.0, 3.0])

    assert matches.gains.tolist() == pytest.approx([1.2])


def test_a_class_without_a_weight_is_refused():
    with pytest.raises(ValueError, match="class_weights must hold a weight of each class, got 1: no 1"):
        match_detections(found((OBJECT, 0.5, 1)), Detections.empty(), objects(), class_weights=[1.0])


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_pairs_are_those_of_loops(seed):
    random = np.random.default_rng(seed)
    coarse, wanted = draw_image(random)
    fine, _ = draw_image(random)
    fine = Detections.join([fine, coarse.take(slice(0, 4))])

    matches = match_detections(coarse, fine, wanted)

    for number, (box, label) in enumerate(zip(coarse.boxes.double(), coarse.labels, strict=True)):
        overlaps = [
            iou(box.tolist(), other.tolist()) if own == label else 0.0
            for other, own in zip(fine.boxes.double(), fine.labels, strict=True)
        ]
        best = int(np.argmax(overlaps))
        expected = float(fine.scores[best]) if overlaps[best] >= 0.5 else 0.0
        assert matches.fine[number] == pytest.approx(expected)
    assert (np.abs(matches.gains) <= 1).all()
    assert len(matches.missed_boxes) + matches.hits.sum() == int((~wanted.ignore).sum())
