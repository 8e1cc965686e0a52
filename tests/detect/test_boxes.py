"""Typed boxes: what they refuse, and overlaps against the pixels that boxes cover."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modicum.detect.boxes import (
    Detections,
    Objects,
    areas,
    intersections,
    lie_inside,
    pairwise_iou,
    pairwise_share,
)

PIXELS = 12
LABELS = torch.tensor([0], dtype=torch.int64)


def boxes_of(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


@st.composite
def whole_boxes(draw: st.DrawFn) -> Tensor:
    corner = st.integers(0, PIXELS)
    rows = draw(st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=4))
    return boxes_of(*((min(a, b), min(c, d), max(a, b), max(c, d)) for a, b, c, d in rows))


def covered_pixels(boxes: Tensor) -> Tensor:
    """Which pixels (N, PIXELS, PIXELS) each box of whole coordinates covers."""
    masks = torch.zeros(len(boxes), PIXELS, PIXELS)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    return masks


@settings(deadline=None)
@given(whole_boxes(), whole_boxes())
def test_overlaps_are_those_of_the_pixels_that_boxes_cover(boxes: Tensor, others: Tensor) -> None:
    ours, theirs = covered_pixels(boxes), covered_pixels(others)
    shared = torch.einsum("nyx,myx->nm", ours, theirs)
    union = ours.sum((1, 2))[:, None] + theirs.sum((1, 2)) - shared

    assert intersections(boxes, others).equal(shared)
    assert areas(boxes).equal(ours.sum((1, 2)))
    torch.testing.assert_close(pairwise_iou(boxes, others), shared / union.clamp(min=1))
    torch.testing.assert_close(pairwise_share(boxes, others), shared / ours.sum((1, 2)).clamp(min=1)[:, None])


def test_a_box_on_the_edge_of_a_window_lies_inside() -> None:
    windows = boxes_of((0, 0, 10, 10))

    assert lie_inside(boxes_of((0, 0, 10, 10), (2, 2, 10.5, 4)), windows).tolist() == [[True], [False]]


def test_no_boxes_overlap_with_nothing() -> None:
    assert pairwise_iou(boxes_of(), boxes_of((0, 0, 1, 1))).shape == (0, 1)
    assert Detections.join([]).boxes.shape == (0, 4)


def test_joining_keeps_features_only_where_every_part_has_them() -> None:
    bare = Detections(boxes_of((0, 0, 1, 1)), torch.tensor([0.5]), LABELS)
    known = Detections(boxes_of((0, 0, 1, 1)), torch.tensor([0.5]), LABELS, torch.ones(1, 3))

    assert Detections.join([known, known]).features is not None
    assert Detections.join([known, bare]).features is None


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
