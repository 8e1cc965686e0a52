"""Assigns detections to objects of one image as COCO does: by descending score, each to the object it overlaps most.

An object takes one detection; a region to be ignored takes any number, and only those that no object takes.
"""
# D detections, G objects, T thresholds

from collections.abc import Sequence

import numpy as np

from modicum.detect.overlaps import Boxes, Flags, Integers, Numbers, pairwise_iou, pairwise_share

NOBODY = -1
_JUST_BELOW = 1e-10  # an overlap of exactly the threshold counts, also where rounding moved it


def overlaps_with(boxes: Boxes, objects: Boxes, ignore: Flags) -> Numbers:
    """Returns how much each detection overlaps each object, (D, G): intersection over union.

    Of a region to be ignored, it is the share of the detection that lies in it.
    """
    share = pairwise_share(boxes, objects)
    overlap: Numbers = np.where(ignore[None], share, pairwise_iou(boxes, objects))
    return overlap


def assign(overlaps: Numbers, ignore: Flags, thresholds: Sequence[float]) -> Integers:
    """Returns the number of the object that each detection is assigned to, (T, D); -1 where that is none.

    Args:
        overlaps: Shape (D, G); detections in descending order of score.
        ignore: Shape (G,): regions that need not be found.
        thresholds: Overlaps from which on a detection counts as found.
    """
    num_found, num_objects = overlaps.shape
    assigned = np.full((len(thresholds), num_found), NOBODY, dtype=np.int64)
    if not num_objects:
        return assigned
    least = np.asarray(thresholds)[:, None] - _JUST_BELOW
    free = np.ones((len(thresholds), num_objects), dtype=bool)
    rows = np.arange(len(thresholds))
    for number, overlap in enumerate(overlaps):  # one step per detection: each takes what the better ones left
        eligible = free & (overlap[None] >= least)
        first = np.where(eligible & ~ignore, overlap, -1.0)
        objects = np.where(first.max(1, keepdims=True) >= 0, first, np.where(eligible, overlap, -1.0))
        best = objects.argmax(1)
        found = objects[rows, best] >= 0
        assigned[found, number] = best[found]
        free[rows[found], best[found]] = ignore[best[found]]
    return assigned
