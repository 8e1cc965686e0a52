"""The match layer: what looking closer at each coarse detection would gain (Gao et al., 2018; for training alone).

A coarse detection with score p_l is paired with the fine one of its class that overlaps it most, p_h. Where g tells
whether an object is there, the gain is |g - p_l| - |g - p_h|, in [-1, 1]: positive where the fine score is closer to
the truth, negative where looking closer hurts. Scores of both detectors must be comparable, so calibrate them first.
"""
# N coarse detections, M objects that the coarse pass missed, C classes

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modicum.detect.assignment import NOBODY, assign, overlaps_with
from modicum.detect.boxes import Detections, Objects, box_array
from modicum.detect.overlaps import Boxes, Flags, Found, Integers, Numbers, pairwise_iou

SAME = 0.5  # intersection over union of two boxes of one object


class Matches(NamedTuple):
    """What looking closer at one image would gain."""

    boxes: Boxes  # (N, 4), of the coarse detections
    hits: Flags  # (N,): g, whether an object is there
    counts: Flags  # (N,): False where the coarse detection lies in a region to be ignored, which teaches nothing
    coarse: Numbers  # (N,): p_l
    fine: Numbers  # (N,): p_h, 0 where the fine detector does not confirm
    gains: Numbers  # (N,): times the weight of the class; 0 where it does not count
    missed_boxes: Boxes  # (M, 4), of objects without a coarse detection
    missed_gains: Numbers  # (M,): what the fine detector would gain there, its score

    def true_gains(self) -> tuple[Boxes, Numbers]:
        """Returns all boxes (N + M, 4) and their gains: what the best plan could know, missed objects included."""
        return np.concatenate([self.boxes, self.missed_boxes]), np.concatenate([self.gains, self.missed_gains])


def match_detections(
    coarse: Detections, fine: Detections, objects: Objects, *, class_weights: Sequence[float] | None = None
) -> Matches:
    """Pairs the detections of one image with each other and with the objects.

    Args:
        coarse: Of the coarse pass, down to low scores: what it barely sees is what zooming is for.
        fine: Of the fine detector on the whole image.
        objects: An object is found by one detection of its class, the best of those that overlap it by half.
        class_weights: What a gain in each class counts; None: 1.

    Raises:
        ValueError: If a class has no weight.
    """
    low, high = coarse.arrays(), fine.arrays()
    targets, labels, ignore = box_array(objects.boxes), objects.labels.cpu().numpy(), objects.ignore.cpu().numpy()
    hits, counts, found = _match_objects(low, targets, labels, ignore)
    confirmed = _best_partner(low, high)
    _, _, found_fine = _match_objects(high, targets, labels, ignore)
    missed = np.flatnonzero((found == NOBODY) & ~ignore)
    score_of = np.append(high.scores.astype(np.float64), 0.0)  # the last is that of nobody
    truth, p_low = hits.astype(np.float64), low.scores.astype(np.float64)
    weights = _weights_of(low.labels, class_weights)
    gains = np.where(counts, np.abs(truth - p_low) - np.abs(truth - confirmed), 0.0) * weights
    missed_gains = score_of[found_fine[missed]] * _weights_of(labels[missed], class_weights)
    return Matches(low.boxes, hits, counts, p_low, confirmed, gains, targets[missed], missed_gains)


def gain_recall(matches: Sequence[Matches]) -> float:
    """Returns the share of the true gain of images that lies in coarse proposals; NaN where nothing is to be gained.

    The rest lies in objects that the coarse pass did not propose at all, which no network that rates proposals can see.
    """
    proposed = sum(float(np.maximum(each.gains, 0).sum()) for each in matches)
    missed = sum(float(each.missed_gains.sum()) for each in matches)
    return proposed / (proposed + missed) if proposed + missed else float("nan")


def _match_objects(found: Found, targets: Boxes, labels: Integers, ignore: Flags) -> tuple[Flags, Flags, Integers]:
    """Returns which detections are hits, which count, and by which of them each object is found, -1 where by none."""
    hits, counts = np.zeros(len(found.boxes), dtype=bool), np.ones(len(found.boxes), dtype=bool)
    finder = np.full(len(targets), NOBODY, dtype=np.int64)
    for label in np.unique(found.labels):
        own, theirs = np.flatnonzero(found.labels == label), np.flatnonzero(labels == label)
        own = own[np.argsort(-found.scores[own], kind="stable")]
        overlaps = overlaps_with(found.boxes[own], targets[theirs], ignore[theirs])
        assigned = assign(overlaps, ignore[theirs], [SAME])[0]
        absorbed = (assigned != NOBODY) & np.append(ignore[theirs], False)[assigned]
        is_hit = (assigned != NOBODY) & ~absorbed
        hits[own], counts[own] = is_hit, ~absorbed
        finder[theirs[assigned[is_hit]]] = own[is_hit]
    return hits, counts, finder


def _best_partner(coarse: Found, fine: Found) -> Numbers:
    """Returns the score (N,) of the fine detection of its class that overlaps each coarse one most; 0 without one."""
    if not len(fine.boxes):
        return np.zeros(len(coarse.boxes))
    overlap = pairwise_iou(coarse.boxes, fine.boxes)
    overlap = np.where(coarse.labels[:, None] == fine.labels[None], overlap, 0.0)
    partner = overlap.argmax(1)
    confirmed: Numbers = np.where(overlap.max(1) >= SAME, fine.scores[partner].astype(np.float64), 0.0)
    return confirmed


def _weights_of(labels: Integers, class_weights: Sequence[float] | None) -> Numbers:
    if class_weights is None:
        return np.ones(len(labels))
    if len(labels) and int(labels.max()) >= len(class_weights):
        raise ValueError(f"class_weights must hold a weight of each class, got {len(class_weights)}: no {labels.max()}")
    weights: Numbers = np.asarray(class_weights, dtype=np.float64)[labels]
    return weights
