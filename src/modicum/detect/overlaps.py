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
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    sides = np.maximum(np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner, 0)
    shared: Numbers = sides[..., 0] * sides[..., 1]
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


def suppress(found: Found, iou_threshold: float = 0.5) -> Found:
    """Keeps, of boxes of one class that overlap by more than ``iou_threshold``, the one with the highest score.

    Equals fall to the first. Memory is that of all pairs of a class: 72 MB for 3,000 boxes.

    Returns:
        The detections that stay, in descending order of score.
    """
    ordered = found.take(np.argsort(-found.scores, kind="stable"))
    keep = np.ones(len(ordered.boxes), dtype=bool)
    for label in np.unique(ordered.labels):
        places = np.flatnonzero(ordered.labels == label)
        overlapping = pairwise_iou(ordered.boxes[places], ordered.boxes[places]) > iou_threshold
        for row, place in enumerate(places):  # one step per box of the class
            if keep[place]:
                keep[places[row + 1 :][overlapping[row, row + 1 :]]] = False
    return ordered.take(keep)
