"""Merges what the coarse pass found in an image with what the fine detector found in windows of it (needs no torch).

In each window the fine detections replace the coarse ones, with four exceptions, each for objects that only one of them
sees whole:

- a coarse box larger than the window's short side stays: the fine detector saw a part of that object at most;
- a coarse box that the border cuts stays, unless the fine detector found that object whole;
- a fine box that ends at a border inside the image goes where a larger box of its class holds that object;
- of detections of one class that overlap in the end, from two windows or from a window and the coarse pass, the one
  with the highest score stays.

The scores of both detectors must be comparable, so calibrate them first.
"""
# N coarse detections, M fine ones, W windows

from collections.abc import Sequence

import numpy as np

from modicum.detect.overlaps import (
    Boxes,
    Flags,
    Found,
    Numbers,
    areas,
    intersections,
    join_found,
    lie_inside,
    overlapping_pairs,
    paired_intersections,
    pairwise_share,
    suppress,
)

BORDER = 2.0  # pixels: a fine box that ends as near to a window's border was probably cut there
SAME_OBJECT = 0.5  # share of the smaller box that two detections of one object have in common
_TINY = float(np.finfo(np.float64).tiny)


def merge(
    coarse: Found,
    windows: Boxes,
    fine: Sequence[Found],
    width: int,
    height: int,
    *,
    iou_threshold: float = 0.5,
) -> Found:
    """Returns the detections of an image, in descending order of score.

    Args:
        coarse: What the coarse pass found, in pixels of the full image; without windows this is the answer.
        windows: Shape (W, 4): where the fine detector looked.
        fine: What it found in each of these windows, in pixels of the full image.
        width: Of the image.
        height: Likewise.
        iou_threshold: Overlap above which two boxes of one class are taken for one object.

    Raises:
        ValueError: If ``fine`` does not hold the detections of each window.
    """
    if len(fine) != len(windows):
        raise ValueError(f"fine must hold what was found in each window, got {len(fine)} for {len(windows)} windows")
    if not len(windows):
        return coarse.take(np.argsort(-coarse.scores, kind="stable"))
    found = join_found(*fine)
    is_cut = np.concatenate(
        [_end_at_border(part.boxes, window, width, height) for part, window in zip(fine, windows, strict=True)]
    )
    kept = coarse.take(~_replaced(coarse, windows, found.take(~is_cut)))
    found = found.take(~_held_better(found, is_cut, kept))
    return suppress(join_found(kept, found), iou_threshold)


def _replaced(coarse: Found, windows: Boxes, whole: Found) -> Flags:
    """Tells which coarse detections (N,) the fine ones replace; ``whole`` are those that no border cut."""
    sides = coarse.boxes[:, 2:] - coarse.boxes[:, :2]
    short = np.min(windows[:, 2:] - windows[:, :2], axis=1)
    fits = np.max(sides, axis=1)[:, None] <= short  # (N, W)
    inside: Flags = np.any(lie_inside(coarse.boxes, windows) & fits, axis=1)
    most = np.any((pairwise_share(coarse.boxes, windows) >= SAME_OBJECT) & fits, axis=1)
    at_border = np.flatnonzero(most & ~inside)
    inside[at_border] = np.any(_same_object(coarse.take(at_border), whole), axis=1)
    return inside


def _end_at_border(boxes: Boxes, window: Numbers, width: int, height: int) -> Flags:
    """Tells which boxes (M,) end within `BORDER` pixels of a border of ``window`` (4,) that lies inside the image."""
    image = np.array([0, 0, width, height], dtype=np.float64)
    near = (np.abs(boxes - window) <= BORDER) & (window != image)
    cut: Flags = np.any(near, axis=1)
    return cut


def _held_better(found: Found, is_cut: Flags, kept: Found) -> Flags:
    """Tells which of the cut ones among the fine detections (M,) a larger box, of any pass, holds the same object of.

    Of equal boxes in two windows, the first is the larger; of equal boxes of both passes, neither.
    """
    both = join_found(found, kept)
    one, other = overlapping_pairs(both.boxes)  # the lower place first, so the fine detection
    alike = both.labels[one] == both.labels[other]
    one, other = one[alike], other[alike]
    area = areas(both.boxes)
    smaller = np.minimum(area[one], area[other])
    shared = paired_intersections(both.boxes[one], both.boxes[other]) / np.maximum(smaller, _TINY)
    one, other = one[shared >= SAME_OBJECT], other[shared >= SAME_OBJECT]
    held = np.where(area[one] < area[other], one, other)
    better = np.zeros(len(found.boxes), dtype=bool)
    better[held[held < len(better)]] = True
    return better & is_cut


def _same_object(found: Found, others: Found) -> Flags:
    """Tells which pairs (N, M) of one class share half of the smaller box."""
    smaller = np.minimum(areas(found.boxes)[:, None], areas(others.boxes)[None])
    shared = intersections(found.boxes, others.boxes) / np.maximum(smaller, _TINY)
    same: Flags = (shared >= SAME_OBJECT) & (found.labels[:, None] == others.labels[None])
    return same
