"""From the outputs of a detector's graph for one image to detections."""

# H W size of the image, P Q size of the graph's input, N candidates, K classes, F features
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image

from modicum.detect.boxes import Detections
from modicum.detect.detectors.onnx_declaration import OnnxDeclaration
from modicum.storage.errors import WeightsError

Arrays = Mapping[str, NDArray[Any]]

_MOST_CANDIDATES = 3000  # that suppression looks at: more than any image holds


def read_outputs(outputs: Arrays, stated: OnnxDeclaration, shape: tuple[int, int], seen: tuple[int, int]) -> Detections:
    """Returns the detections of one image, in its pixels, cut off at its edges, best first.

    Args:
        outputs: The declared outputs by name, without the dimension of the batch.
        stated: What they mean.
        shape: Height and width of the image.
        seen: Those of the input, which is the image with padding below and to the right.

    Raises:
        WeightsError: If their shapes are not as declared.
    """
    boxes, scores, labels, rows = _candidates(outputs, stated)
    keep = (scores >= stated.min_score) & (labels >= 0) & (labels < len(stated.classes))
    boxes, scores, labels, rows = boxes[keep], scores[keep].clamp(0, 1), labels[keep], rows[keep]
    best = scores.argsort(descending=True, stable=True)[:_MOST_CANDIDATES]
    boxes, scores, labels, rows = boxes[best], scores[best], labels[best], rows[best]
    boxes = box_convert(boxes, stated.box_format, "xyxy")
    if stated.boxes_are_shares:
        boxes = boxes * torch.tensor([seen[1], seen[0]] * 2)
    boxes = clip_boxes_to_image(boxes, shape)
    solid = (boxes[:, 2:] > boxes[:, :2]).all(1)  # those in the padding have no area left
    chosen = solid.nonzero()[:, 0]
    if stated.nms_iou is not None:
        chosen = chosen[batched_nms(boxes[chosen], scores[chosen], labels[chosen], stated.nms_iou)]
    chosen = chosen[: stated.max_detections]
    features = None if stated.features is None else _floats(outputs[stated.features])[rows[chosen]]
    return Detections(boxes[chosen], scores[chosen], labels[chosen], features)


def _candidates(outputs: Arrays, stated: OnnxDeclaration) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns boxes (M, 4) as stated, scores, labels and the row of each candidate, one for each box and class."""
    if stated.rows is not None:
        table = _floats(outputs[stated.rows])
        _require(table.ndim == 2 and table.shape[1] == 6, stated.rows, table, "(N, 6): a box, its score and label")
        labels = table[:, 5].round().long() - stated.first_label
        return table[:, :4], table[:, 4], labels, torch.arange(len(table))
    if stated.combined is not None:
        table = _floats(outputs[stated.combined])
        width = 4 + len(stated.classes) + stated.first_label
        _require(table.ndim == 2 and width in table.shape, stated.combined, table, f"({width}, N) or (N, {width})")
        table = table.T if table.shape[0] == width else table
        boxes, grades = table[:, :4], table[:, 4:]
    else:
        assert stated.boxes is not None  # the declaration has looked
        assert stated.scores is not None
        boxes, grades = _floats(outputs[stated.boxes]), _floats(outputs[stated.scores])
        _require(boxes.ndim == 2 and boxes.shape[1] == 4, stated.boxes, boxes, "(N, 4)")
        _require(len(grades) == len(boxes), stated.scores, grades, f"{len(boxes)} rows, as many as boxes")
    if stated.labels is not None:
        labels = torch.from_numpy(np.asarray(outputs[stated.labels])).long().reshape(-1) - stated.first_label
        return boxes, _activate(grades.reshape(-1), stated), labels, torch.arange(len(boxes))
    _require(grades.ndim == 2, str(stated.scores), grades, "(N, K), a score for each class, or labels beside them")
    grades = _activate(grades, stated)[:, stated.first_label :]
    rows = torch.arange(len(boxes)).repeat_interleave(grades.shape[1])
    labels = torch.arange(grades.shape[1]).repeat(len(boxes))
    return boxes[rows], grades.reshape(-1), labels, rows


def _activate(grades: Tensor, stated: OnnxDeclaration) -> Tensor:
    if stated.activation == "sigmoid":
        return grades.sigmoid()
    return grades.softmax(-1)[..., :-1] if stated.activation == "softmax" else grades


def _floats(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _require(holds: bool, name: str, values: Tensor, expected: str) -> None:
    if not holds:
        raise WeightsError(f"the output {name} must be {expected}, but is {tuple(values.shape)}: see its JSON file")
