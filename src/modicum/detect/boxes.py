"""Boxes of one image: what a detector found, and the objects that are there.

Boxes are (left, top, right, bottom) in pixels of the full image, at whatever scale a detector saw it. Right and bottom
are where the box ends, so that its width is right - left; a box of zero area is legal and overlaps nothing.
"""
# N boxes of one image, F features

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from modicum.detect.overlaps import Boxes, Found


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one image, in any order.

    Attributes:
        boxes: Shape (N, 4), float32, in pixels of the full image.
        scores: Shape (N,), float32, in [0, 1].
        labels: Shape (N,), int64, at least 0: the class of each box.
        features: Shape (N, F), float32: what the detector saw of each box; None if it does not tell.

    Raises:
        ValueError: If shapes, types or ranges differ from these.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    features: Tensor | None = None

    def __post_init__(self) -> None:
        check_boxes(self.boxes, self.labels)
        _check_rows("scores", self.scores, torch.float32, (len(self.boxes),))
        if not ((self.scores >= 0) & (self.scores <= 1)).all():  # so that NaN is refused, too
            raise ValueError(f"scores must be in [0, 1], got {_range_of(self.scores)}: apply a sigmoid to logits first")
        if self.features is not None:
            _check_rows("features", self.features, torch.float32, (len(self.boxes), self.features.shape[-1]))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls, num_features: int | None = None) -> Self:
        """Returns no detections, with ``num_features`` features each unless that is None."""
        features = None if num_features is None else torch.zeros(0, num_features)
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), features)

    @classmethod
    def join(cls, several: Sequence[Self]) -> Self:
        """Concatenates detections of one image; no parts give no detections.

        Features are kept if every part has them, and dropped otherwise.
        """
        if not several:
            return cls.empty()
        features = [part.features for part in several if part.features is not None]
        return cls(
            torch.cat([part.boxes for part in several]),
            torch.cat([part.scores for part in several]),
            torch.cat([part.labels for part in several]),
            torch.cat(features) if len(features) == len(several) else None,
        )

    @classmethod
    def of(cls, found: Found) -> Self:
        """Returns what was found as tensors."""
        boxes = torch.from_numpy(found.boxes.astype(np.float32))
        return cls(boxes, torch.from_numpy(found.scores.astype(np.float32)), torch.from_numpy(found.labels))

    def arrays(self) -> Found:
        """Returns the same detections as arrays, without features."""
        scores, labels = self.scores.cpu().numpy(), self.labels.cpu().numpy()
        return Found(box_array(self.boxes), scores, labels)

    def take(self, rows: Tensor | slice) -> Self:
        """Returns the detections at the places ``rows``: integers in any order, a mask, or a slice."""
        features = None if self.features is None else self.features[rows]
        return type(self)(self.boxes[rows], self.scores[rows], self.labels[rows], features)

    def above(self, min_score: float) -> Self:
        """Returns the detections with at least this score."""
        return self.take(self.scores >= min_score)

    def best_first(self, limit: int | None = None) -> Self:
        """Returns the detections in descending order of score, equals as they stood, and at most ``limit`` of them."""
        return self.take(self.scores.argsort(descending=True, stable=True)[:limit])

    def scaled(self, horizontal: float, vertical: float) -> Self:
        """Returns the same detections with coordinates multiplied, e.g. by 4 if they were found at a quarter."""
        return replace(self, boxes=self.boxes * self.boxes.new_tensor([horizontal, vertical] * 2))

    def shifted(self, x: float, y: float) -> Self:
        """Returns the same detections moved by (x, y), e.g. by the corner of the window in which they were found."""
        return replace(self, boxes=self.boxes + self.boxes.new_tensor([x, y] * 2))

    def to(self, device: torch.device | str) -> Self:
        """Returns the same detections on a device."""
        features = None if self.features is None else self.features.to(device)
        return type(self)(self.boxes.to(device), self.scores.to(device), self.labels.to(device), features)


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image, as someone labelled them.

    Attributes:
        boxes: Shape (N, 4), float32, in pixels of the full image.
        labels: Shape (N,), int64, at least 0: the class of each box.
        ignore: Shape (N,), bool: regions that need not be found and absorb detections, such as crowds. Of such a box, a
            detection's overlap is the share of the detection that lies in it.

    Raises:
        ValueError: If shapes, types or ranges differ from these.
    """

    boxes: Tensor
    labels: Tensor
    ignore: Tensor

    def __post_init__(self) -> None:
        check_boxes(self.boxes, self.labels)
        _check_rows("ignore", self.ignore, torch.bool, (len(self.boxes),))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Self:
        """Returns the objects of an image without any."""
        return cls(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))

    def take(self, rows: Tensor | slice) -> Self:
        """Returns the objects at the places ``rows``: integers in any order, a mask, or a slice."""
        return type(self)(self.boxes[rows], self.labels[rows], self.ignore[rows])


def check_boxes(boxes: Tensor, labels: Tensor) -> None:
    """Checks boxes and their classes.

    Raises:
        ValueError: If boxes are not finite float32 (N, 4) with left <= right and top <= bottom, or labels are not
            int64 (N,), at least 0.
    """
    _check_rows("boxes", boxes, torch.float32, (len(boxes), 4))
    _check_rows("labels", labels, torch.int64, (len(boxes),))
    if not boxes.isfinite().all():
        raise ValueError("boxes must be finite, got NaN or infinity")
    if not (boxes[:, :2] <= boxes[:, 2:]).all():
        worst = boxes[(boxes[:, :2] > boxes[:, 2:]).any(1)][0].tolist()
        raise ValueError(f"boxes must be (left, top, right, bottom), got {worst}: convert (x, y, width, height) first")
    if len(labels) and int(labels.min()) < 0:
        raise ValueError(f"labels must be at least 0, got {int(labels.min())}")


def areas(boxes: Tensor) -> Tensor:
    """Returns the area of each box, (N,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_array(boxes: Tensor) -> Boxes:
    """Returns boxes (N, 4) as an array of float64."""
    return boxes.cpu().numpy().astype(np.float64)


def _check_rows(name: str, rows: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    if rows.shape != shape or rows.dtype != dtype:
        raise ValueError(f"{name} must be {dtype} of shape {shape}, got {rows.dtype} of shape {tuple(rows.shape)}")


def _range_of(values: Tensor) -> str:
    return f"values from {float(values.min()):.4g} to {float(values.max()):.4g}"
