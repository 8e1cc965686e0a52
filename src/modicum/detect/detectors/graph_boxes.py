"""From what a detector's graph gives to boxes, in numpy and to torchvision's own arithmetic (needs no torch).

torchvision selects candidates by level and suppresses by class in ways that ONNX cannot express for a batch of any
size, and that are few operations on few numbers: the graph ends where its heads end, and this is the rest.
"""

# h w places of a level, A anchors of a place, K classes, N candidates or detections
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modicum.detect.overlaps import Flags, Found, Integers

Singles: TypeAlias = NDArray[np.float32]
Picture: TypeAlias = NDArray[np.uint8]
"""Shape (H, W, 3), RGB."""

Coding: TypeAlias = Literal["distances", "deltas"]

_MOST_SHIFTED = 1000  # boxes; torchvision suppresses by shifting each class aside up to here, class by class beyond


@dataclass(frozen=True)
class BoxCoding:
    """How the numbers of a head become a box.

    Attributes:
        kind: "distances" from the centre of the anchor to the four sides, in sizes of the anchor (FCOS), or "deltas" of
            its centre and of the logarithms of its sides.
        weights: Of "deltas": the factors (x, y, width, height) that they were multiplied by.
        clip: Of "deltas": the largest logarithm of a factor of a side.
    """

    kind: Coding
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    clip: float = float(np.log(1000 / 16))

    def decode(self, numbers: Singles, anchors: Singles) -> Singles:
        """Returns boxes (N, 4) of the numbers (N, 4) that a head gave for anchors (N, 4)."""
        low, high = anchors[:, :2], anchors[:, 2:]
        sides = high - low
        if self.kind == "distances":
            centre = np.float32(0.5) * (low + high)
            return np.concatenate([centre - numbers[:, :2] * sides, centre + numbers[:, 2:] * sides], axis=1)
        moved: Singles = np.divide(numbers, np.array(self.weights, np.float32))
        centre = moved[:, :2] * sides + (low + np.float32(0.5) * sides)
        half = np.float32(0.5) * (np.exp(np.minimum(moved[:, 2:], np.float32(self.clip))) * sides)
        return np.concatenate([centre - half, centre + half], axis=1)


class Candidates(NamedTuple):
    """Boxes before suppression."""

    boxes: Singles  # (N, 4)
    scores: Singles  # (N,)
    labels: Integers  # (N,)

    def take(self, rows: Integers | Flags) -> "Candidates":
        """Returns the candidates at the places ``rows``."""
        return Candidates(self.boxes[rows], self.scores[rows], self.labels[rows])

    def found(self) -> Found:
        """Returns them as detections; the scores are cut to [0, 1]."""
        return Found(self.boxes.astype(np.float64), np.clip(self.scores, 0, 1), self.labels)


class Seen(NamedTuple):
    """What a detector tells of one picture."""

    found: Found  # in pixels of the picture, best first
    features: Singles | None  # (N, C), of each detection
    level: Singles | None = None  # (C, h, w), of the picture without cells that are nothing but padding


def relabelled(seen: Seen, new_labels: Sequence[int] | None) -> Seen:
    """Returns the detections whose label has a new one of at least 0, under that; all if ``new_labels`` is None."""
    if new_labels is None:
        return seen
    labels = np.array(new_labels, np.int64)[seen.found.labels]
    known = labels >= 0
    features = None if seen.features is None else seen.features[known]
    return seen._replace(found=seen.found._replace(labels=labels).take(known), features=features)


def join_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Concatenates candidates of one image."""
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def place_anchors(cell: Singles, grid: tuple[int, int], image: tuple[int, int]) -> Singles:
    """Returns the anchors (h * w * A, 4) of a level, place by place.

    Args:
        cell: Shape (A, 4), around a centre of 0.
        grid: h and w.
        image: Height and width of the graph's input, which tell the strides.
    """
    rows, columns = (np.arange(n) * (side // n) for n, side in zip(grid, image, strict=True))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4).astype(np.float32)
    return (shifts + cell).reshape(-1, 4)


def best_candidates(
    scores: Singles, numbers: Singles, anchors: Singles, coding: BoxCoding, *, min_score: float, limit: int
) -> Candidates:
    """Returns the best pairs of a place and a class of one level, best first.

    Args:
        scores: Shape (h * w * A, K).
        numbers: Shape (h * w * A, 4): what the head gave for the box of each.
        anchors: Shape (h * w * A, 4).
        coding: How they make a box.
        min_score: Scores must exceed it.
        limit: How many are returned at most.
    """
    flat = scores.ravel()
    places = np.flatnonzero(flat > np.float32(min_score))
    places = places[np.argsort(-flat[places], kind="stable")[:limit]]
    rows, labels = np.divmod(places, scores.shape[1])
    return Candidates(coding.decode(numbers[rows], anchors[rows]), flat[places], labels.astype(np.int64))


def clip_boxes(boxes: Singles, height: int, width: int) -> Singles:
    """Returns boxes (N, 4) cut to an image."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def suppress_classes(found: Candidates, iou_threshold: float, limit: int) -> Integers:
    """Returns the places of the candidates that no better one of their class overlaps too much, best first.

    One step for each that stays, at most ``limit``; memory is linear in the candidates.
    """
    boxes, apart = found.boxes, len(found.boxes) > _MOST_SHIFTED
    if not apart and len(boxes):
        boxes = boxes + (found.labels.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    rest = np.argsort(-found.scores, kind="stable")
    kept = list[int]()
    while len(rest) and len(kept) < limit:
        best, rest = int(rest[0]), rest[1:]
        kept.append(best)
        others = boxes[rest]
        sides = np.minimum(others[:, 2:], boxes[best, 2:]) - np.maximum(others[:, :2], boxes[best, :2])
        shared = np.maximum(sides[:, 0], 0) * np.maximum(sides[:, 1], 0)
        with np.errstate(invalid="ignore"):  # 0 / 0 of two boxes without area, which drops neither
            overlap = shared / (area[best] + area[rest] - shared)
        drops = overlap.astype(np.float64) > iou_threshold  # as torchvision compares; a rounded threshold would not do
        rest = rest[~(drops & (found.labels[rest] == found.labels[best])) if apart else ~drops]
    return np.array(kept, np.int64)


def read_coding(stated: Any) -> BoxCoding:  # noqa: ANN401  plain JSON of a manifest
    """Returns the coding that a manifest states."""
    x, y, width, height = map(float, stated["weights"])
    return BoxCoding(stated["kind"], (x, y, width, height), float(stated["clip"]))
