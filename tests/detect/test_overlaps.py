"""Overlaps against the pixels that boxes cover, and suppression against torchvision's."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from modicum.detect.overlaps import (
    Found,
    areas,
    intersections,
    join_found,
    lie_inside,
    overlapping_pairs,
    pairwise_iou,
    pairwise_share,
    suppress,
)

PIXELS = 12


def boxes_of(*rows):
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


@st.composite
def whole_boxes(draw):
    corner = st.integers(0, PIXELS)
    rows = draw(st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=4))
    return boxes_of(*((min(a, b), min(c, d), max(a, b), max(c, d)) for a, b, c, d in rows))


def covered_pixels(boxes):
    """Which pixels (N, PIXELS, PIXELS) each box of whole coordinates covers."""
    masks = np.zeros((len(boxes), PIXELS, PIXELS))
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = 1
    return masks


@settings(deadline=None, max_examples=40)
@given(whole_boxes(), whole_boxes())
def test_overlaps_are_those_of_the_pixels_that_boxes_cover(boxes, others):
    ours, theirs = covered_pixels(boxes), covered_pixels(others)
    shared = np.einsum("nyx,myx->nm", ours, theirs)
    union = ours.sum((1, 2))[:, None] + theirs.sum((1, 2)) - shared

    assert np.array_equal(intersections(boxes, others), shared)
    assert np.array_equal(areas(boxes), ours.sum((1, 2)))
    np.testing.assert_allclose(pairwise_iou(boxes, others), shared / np.maximum(union, 1))
    np.testing.assert_allclose(pairwise_share(boxes, others), shared / np.maximum(ours.sum((1, 2)), 1)[:, None])


def test_a_box_on_the_edge_of_a_window_lies_inside():
    windows = boxes_of((0, 0, 10, 10))

    assert lie_inside(boxes_of((0, 0, 10, 10), (2, 2, 10.5, 4)), windows).tolist() == [[True], [False]]


def test_no_boxes_overlap_with_nothing():
    assert pairwise_iou(boxes_of(), boxes_of((0, 0, 1, 1))).shape == (0, 1)


def random_found(seed, count=80):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, 40, (count, 2))], axis=1).astype(np.float32)
    scores = random.permutation(count).astype(np.float32) / count
    return Found(boxes.astype(np.float64), scores, random.integers(0, 3, count))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_suppression_is_that_of_torchvision(seed):
    found = random_found(seed)
    boxes, scores = torch.from_numpy(found.boxes), torch.from_numpy(found.scores).double()
    expected = batched_nms(boxes, scores, torch.from_numpy(found.labels), 0.5).numpy()

    kept = suppress(found, 0.5)

    assert np.array_equal(kept.scores, found.scores[expected])
    assert np.array_equal(kept.boxes, found.boxes[expected])


def test_of_equal_scores_the_first_stays():
    found = Found(boxes_of((0, 0, 10, 10), (0, 0, 10, 9)), np.float32([0.5, 0.5]), np.array([1, 1]))

    assert suppress(found).boxes.tolist() == [[0, 0, 10, 10]]


def test_boxes_of_different_classes_do_not_suppress_each_other():
    box = Found(boxes_of((0, 0, 10, 10)), np.float32([0.5]), np.array([1]))

    assert len(suppress(join_found(box, box._replace(labels=np.array([2])))).boxes) == 2


@given(whole_boxes())
def test_sweep_finds_the_pairs_that_share_area_once_each(boxes):
    shared = np.triu(intersections(boxes, boxes) > 0, k=1)
    has_area = areas(boxes) > 0
    found = set(zip(*(each.tolist() for each in overlapping_pairs(boxes)), strict=True))
    assert len(found) == len(overlapping_pairs(boxes)[0])
    assert {pair for pair in found if has_area[list(pair)].all()} == set(map(tuple, np.argwhere(shared).tolist()))
