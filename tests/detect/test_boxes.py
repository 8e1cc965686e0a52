"""Typed boxes: what they refuse, and what they become."""

import pytest
import torch
from torch import Tensor

from modicum.detect.boxes import Detections, Objects, areas

LABELS = torch.tensor([0], dtype=torch.int64)


def boxes_of(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_joining_keeps_features_only_where_every_part_has_them() -> None:
    bare = Detections(boxes_of((0, 0, 1, 1)), torch.tensor([0.5]), LABELS)
    known = Detections(boxes_of((0, 0, 1, 1)), torch.tensor([0.5]), LABELS, torch.ones(1, 3))

    assert Detections.join([known, known]).features is not None
    assert Detections.join([known, bare]).features is None


def test_no_parts_join_to_no_detections() -> None:
    assert Detections.join([]).boxes.shape == (0, 4)


def test_detections_survive_as_arrays() -> None:
    found = Detections(boxes_of((1, 2, 3, 4.5)), torch.tensor([0.25]), LABELS)

    again = Detections.of(found.arrays())

    assert again.boxes.equal(found.boxes)
    assert (again.scores.tolist(), again.labels.tolist()) == ([0.25], [0])


def test_area_is_width_times_height() -> None:
    assert areas(boxes_of((1, 2, 3, 7), (1, 2, 1, 7))).tolist() == [10, 0]


def test_best_first_keeps_the_order_of_equal_scores() -> None:
    boxes = boxes_of((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3))
    detections = Detections(boxes, torch.tensor([0.5, 0.9, 0.5]), LABELS.expand(3))

    assert detections.best_first(2).boxes.equal(boxes[[1, 0]])


def test_detections_of_a_reduced_window_come_back_to_their_place() -> None:
    found = Detections(boxes_of((1, 2, 3, 4)), torch.tensor([0.5]), LABELS)

    assert found.scaled(2, 4).shifted(10, 20).boxes.tolist() == [[12, 28, 16, 36]]


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (boxes_of((4, 0, 1, 1)), torch.tensor([0.5]), r"boxes must be \(left, top, right, bottom\)"),
        (boxes_of((0, 0, float("nan"), 1)), torch.tensor([0.5]), "boxes must be finite"),
        (boxes_of((0, 0, 1, 1)).double(), torch.tensor([0.5]), "boxes must be torch.float32"),
        (boxes_of((0, 0, 1, 1)), torch.tensor([1.5]), r"scores must be in \[0, 1\]"),
        (boxes_of((0, 0, 1, 1)), torch.tensor([float("nan")]), r"scores must be in \[0, 1\]"),
        (boxes_of((0, 0, 1, 1)), torch.tensor([0.5, 0.5]), r"scores must be torch.float32 of shape \(1,\)"),
    ],
)
def test_detections_refuse_what_no_detector_means(boxes: Tensor, scores: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores, LABELS)


def test_objects_refuse_flags_that_are_no_booleans() -> None:
    with pytest.raises(ValueError, match=r"ignore must be torch\.bool"):
        Objects(boxes_of((0, 0, 1, 1)), LABELS, torch.tensor([1]))
