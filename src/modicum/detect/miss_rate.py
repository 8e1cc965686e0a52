"""The log-average miss rate of pedestrian detection (Dollar et al., *Pedestrian Detection*, PAMI 2012).

Against the public script: where the first detection is a false positive that already exceeds a point's rate, the recall
there is 0; the script takes the last one. It matters on small sets, where one false positive per set is above 0.01.
"""
# N images, D detections, G objects

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.detect.assignment import NOBODY, assign, overlaps_with
from modicum.detect.boxes import Detections, Objects, box_array
from modicum.detect.overlaps import Boxes, Flags, Numbers

FALSE_POSITIVES = tuple((10 ** np.linspace(-2, 0, 9)).round(4).tolist())  # per image
EXPANSION = 1.25  # detections may be this factor outside the range of heights
_LEAST_MISS = 1e-10  # where everything is found, instead of the logarithm of 0


@dataclass(frozen=True)
class Heights:
    """Which objects are to be found, by their height in pixels of the full image; others are ignored.

    Attributes:
        least: Lowest height.
        most: Height from which on objects are ignored.
    """

    least: float = 0.0
    most: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most:
            raise ValueError(f"heights must rise from least to most, got {self.least} and {self.most}")


class _Judged(NamedTuple):
    scores: NDArray[np.float32]  # (D,)
    hits: Flags  # (D,)
    wanted: int


def log_average_miss_rate(
    found: Sequence[Detections],
    objects: Sequence[Objects],
    *,
    label: int = 0,
    heights: Heights | None = None,
    iou_threshold: float = 0.5,
) -> float | None:
    """Returns exp of the mean log miss rate at nine rates of false positives per image, in [0, 1]; lower is better.

    Args:
        found: Of N images.
        objects: Of the same images; regions to be ignored absorb detections that lie in them by half.
        label: The class that is measured.
        heights: Of the objects to be found; None: all.
        iou_threshold: Overlap from which on an object counts as found.

    Returns:
        None where the images hold no such object.
    """
    pairs = zip(found, objects, strict=True)
    judged = [_judge(own, wanted, label, heights or Heights(), iou_threshold) for own, wanted in pairs]
    total = sum(each.wanted for each in judged)
    if not total:
        return None
    scores, hits = (np.concatenate([each[part] for each in judged]) for part in (0, 1))
    hits = hits[np.argsort(-scores, kind="stable")]
    recall = np.append(0.0, hits.cumsum() / total)
    rates = np.append(0.0, (~hits).cumsum() / len(judged))  # begins before the first detection
    reached = [recall[np.flatnonzero(rates <= point)[-1]] for point in FALSE_POSITIVES]
    return float(np.exp(np.log(np.maximum(1 - np.array(reached), _LEAST_MISS)).mean()))


def _judge(found: Detections, objects: Objects, label: int, heights: Heights, iou_threshold: float) -> _Judged:
    """Tells which detections of one image are hits; those absorbed by ignored objects are left out."""
    own, theirs = (each.labels == label for each in (found, objects))
    boxes, scores = box_array(found.boxes[own]), found.scores[own].cpu().numpy()
    near = _within(boxes, heights.least / EXPANSION, heights.most * EXPANSION)
    order = np.argsort(-scores[near], kind="stable")
    boxes, scores = boxes[near][order], scores[near][order]
    wanted = box_array(objects.boxes[theirs])
    ignore: Flags = objects.ignore[theirs].cpu().numpy() | ~_within(wanted, heights.least, heights.most)
    assigned = assign(overlaps_with(boxes, wanted, ignore), ignore, [iou_threshold])[0]
    absorbed = (assigned != NOBODY) & np.append(ignore, False)[assigned]
    return _Judged(scores[~absorbed], (assigned != NOBODY)[~absorbed], int((~ignore).sum()))


def _within(boxes: Boxes, least: float, most: float) -> Flags:
    """Tells which boxes are at least ``least`` and below ``most`` pixels high."""
    height: Numbers = boxes[:, 3] - boxes[:, 1]
    within: Flags = (height >= least) & (height < most)
    return within
