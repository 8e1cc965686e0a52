"""Boxes as numpy arrays, and how much they share: for code that runs with and without torch.

Boxes are (left, top, right, bottom) in pixels of the full image, float64; a box without area overlaps nothing.
"""
# N boxes of one image, M boxes of another set

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float64]
"""Shape (N, 4)."""

Numbers: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_TINY = float(np.finfo(np.float64).tiny)


class Found(NamedTuple):
    """What a detector found in one image, as arrays; `modicum.detect.boxes.Detections` is the same as tensors."""

    boxes: Boxes  # (N, 4)
    scores: NDArray[np.float32]  # (N,), in [0, 1]
    labels: Integers  # (N,)

    def take(self, rows: Integers | Flags) -> "Found":
        """Returns the detections at the places ``rows``, integers in any order or a mask."""
        return Found(self.boxes[rows], self.scores[rows], self.labels[rows])


def join_found(first: Found, *others: Found) -> Found:
    """Concatenates detections of one image."""
    parts = (first, *others)
    return Found(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def areas(boxes: Boxes) -> Numbers:
    """Returns the area of each box, (N,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersections(boxes: Boxes, others: Boxes) -> Numbers:
    """Returns the area that each of ``boxes`` (N, 4) shares with each of ``others`` (M, 4), shape (N, M)."""
    widths, heights = (  # an axis at a time: matrices (N, M, 2) take several times as long
        np.maximum(
            np.minimum.outer(boxes[:, axis + 2], others[:, axis + 2])
            - np.maximum.outer(boxes[:, axis], others[:, axis]),
            0,
        )
        for axis in (0, 1)
    )
    shared: Numbers = widths * heights
    return shared


def paired_intersections(boxes: Boxes, others: Boxes) -> Numbers:
    """Returns the area that boxes (P, 4) share with others (P, 4), pair by pair, shape (P,)."""
    corner = np.maximum(boxes[:, :2], others[:, :2])
    sides = np.maximum(np.minimum(boxes[:, 2:], others[:, 2:]) - corner, 0)
    shared: Numbers = sides[:, 0] * sides[:, 1]
    return shared


def pairwise_iou(boxes: Boxes, others: Boxes) -> Numbers:
    """Returns intersection over union of each pair, (N, M); 0 where the union has no area."""
    shared = intersections(boxes, others)
    union = areas(boxes)[:, None] + areas(others)[None] - shared
    ratio: Numbers = shared / np.maximum(union, _TINY)
    return ratio


def pairwise_share(boxes: Boxes, others: Boxes) -> Numbers:
    """Returns the share of each of ``boxes`` that lies in each of ``others``, (N, M); 0 of a box without area."""
    share: Numbers = intersections(boxes, others) / np.maximum(areas(boxes), _TINY)[:, None]
    return share


def lie_inside(boxes: Boxes, windows: Boxes) -> Flags:
    """Tells of each of ``boxes`` (N, 4) whether it lies fully inside each of ``windows`` (M, 4), edges included."""
    begins: Flags = np.all(boxes[:, None, :2] >= windows[None, :, :2], axis=2)
    ends: Flags = np.all(boxes[:, None, 2:] <= windows[None, :, 2:], axis=2)
    return begins & ends


def overlapping_pairs(boxes: Boxes) -> tuple[Integers, Integers]:
    """Returns the places of all pairs of boxes (N, 4) that overlap along both axes, each pair once, the lower first.

    Boxes are swept from left to right, so that those apart are never compared: of 1,500 small boxes in a large image,
    one pair in twenty is.
    """
    order = np.argsort(boxes[:, 0], kind="stable")
    left, right = boxes[order, 0], boxes[order, 2]
    after = np.arange(1, len(boxes) + 1)
    counts = np.maximum(np.searchsorted(left, right) - after, 0)  # of boxes that begin before each ends
    one = np.repeat(np.arange(len(boxes)), counts)
    other = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts - after, counts)
    apart = np.maximum(boxes[order[one], 1], boxes[order[other], 1]) >= np.minimum(
        boxes[order[one], 3], boxes[order[other], 3]
    )
    one, other = order[one[~apart]], order[other[~apart]]
    return np.minimum(one, other), np.maximum(one, other)


def suppress(found: Found, iou_threshold: float = 0.5) -> Found:
    """Keeps, of boxes of one class that overlap by more than ``iou_threshold``, the one with the highest score.

    Equals fall to the first.

    Args:
        found: Detections of one image.
        iou_threshold: Intersection over union, at least 0.

    Returns:
        The detections that stay, in descending order of score.
    """
    ordered = found.take(np.argsort(-found.scores, kind="stable"))
    better, worse = overlapping_pairs(ordered.boxes)
    alike = ordered.labels[better] == ordered.labels[worse]
    better, worse = better[alike], worse[alike]
    overlap = _paired_iou(ordered.boxes[better], ordered.boxes[worse]) > iou_threshold
    by_rank = np.argsort(better[overlap], kind="stable")
    better, worse = better[overlap][by_rank], worse[overlap][by_rank]
    ranks, starts = np.unique(better, return_index=True)
    keep = np.ones(len(ordered.boxes), dtype=bool)
    for rank, rivals in zip(ranks.tolist(), np.split(worse, starts[1:]), strict=False):  # one step per box with rivals
        if keep[rank]:
            keep[rivals] = False
    return ordered.take(keep)


def _paired_iou(boxes: Boxes, others: Boxes) -> Numbers:
    """Returns intersection over union of boxes (P, 4) and others (P, 4), pair by pair."""
    shared = paired_intersections(boxes, others)
    ratio: Numbers = shared / np.maximum(areas(boxes) + areas(others) - shared, _TINY)
    return ratio
