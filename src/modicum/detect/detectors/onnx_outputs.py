"""From the outputs of a detector's graph for one image to detections, in numpy (needs no torch)."""

# H W size of the image, P Q size of the graph's input, N candidates, K classes, F features
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.detect.detectors.graph_boxes import Candidates, Seen, Singles, clip_boxes, suppress_classes
from modicum.detect.detectors.onnx_declaration import BoxFormat, OnnxDeclaration
from modicum.detect.overlaps import Integers
from modicum.storage.errors import WeightsError

Arrays = Mapping[str, NDArray[Any]]

_MOST_CANDIDATES = 3000  # that suppression looks at: more than any image holds


def read_outputs(outputs: Arrays, stated: OnnxDeclaration, shape: tuple[int, int], seen: tuple[int, int]) -> Seen:
    """Returns the detections of one image, in its pixels, cut off at its edges, best first.

    Args:
        outputs: The declared outputs by name, without the dimension of the batch.
        stated: What they mean.
        shape: Height and width of the image.
        seen: Those of the input, which is the image with padding below and to the right.

    Raises:
        WeightsError: If their shapes are not as declared.
    """
    found, rows = _candidates(outputs, stated)
    places = np.flatnonzero(
        (found.scores >= np.float32(stated.min_score)) & (found.labels >= 0) & (found.labels < len(stated.classes))
    )
    places = places[np.argsort(-found.scores[places], kind="stable")[:_MOST_CANDIDATES]]
    found, rows = found.take(places), rows[places]
    boxes = _corners(found.boxes, stated.box_format)
    if stated.boxes_are_shares:
        boxes = boxes * np.array([seen[1], seen[0]] * 2, np.float32)
    found = found._replace(boxes=clip_boxes(boxes, *shape), scores=np.clip(found.scores, 0, 1))
    solid = np.flatnonzero((found.boxes[:, 2:] > found.boxes[:, :2]).all(1))  # none is left of those in the padding
    found, rows = found.take(solid), rows[solid]
    chosen: Integers = np.arange(min(len(rows), stated.max_detections))
    if stated.nms_iou is not None:
        chosen = suppress_classes(found, stated.nms_iou, stated.max_detections)
    features = None if stated.features is None else _floats(outputs[stated.features])[rows[chosen]]
    return Seen(found.take(chosen).found(), features)


def _candidates(outputs: Arrays, stated: OnnxDeclaration) -> tuple[Candidates, Integers]:
    """Returns candidates, one for each box and class, with boxes as stated, and the row of each."""
    if stated.rows is not None:
        table = _floats(outputs[stated.rows])
        _require(table.ndim == 2 and table.shape[1] == 6, stated.rows, table, "(N, 6): a box, its score and label")
        labels = table[:, 5].round().astype(np.int64) - stated.first_label
        return Candidates(table[:, :4], table[:, 4], labels), np.arange(len(table))
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
        labels = np.asarray(outputs[stated.labels]).astype(np.int64).reshape(-1) - stated.first_label
        return Candidates(boxes, _activate(grades.reshape(-1), stated), labels), np.arange(len(boxes))
    _require(grades.ndim == 2, str(stated.scores), grades, "(N, K), a score for each class, or labels beside them")
    grades = _activate(grades, stated)[:, stated.first_label :]
    rows = np.arange(len(boxes)).repeat(grades.shape[1])
    return Candidates(boxes[rows], grades.reshape(-1), np.tile(np.arange(grades.shape[1]), len(boxes))), rows


def _corners(boxes: Singles, form: BoxFormat) -> Singles:
    first, second = boxes[:, :2], boxes[:, 2:]
    if form == "xyxy":
        return boxes
    low = first if form == "xywh" else first - np.float32(0.5) * second
    high = first + (second if form == "xywh" else np.float32(0.5) * second)
    return np.concatenate([low, high], axis=1)


def _activate(grades: Singles, stated: OnnxDeclaration) -> Singles:
    if stated.activation == "none":
        return grades
    if stated.activation == "sigmoid":
        with np.errstate(over="ignore"):  # 1 / infinity is the 0 that is meant
            odds: Singles = np.reciprocal(np.float32(1) + np.exp(-grades))
        return odds
    powers = np.exp(grades - grades.max(axis=-1, keepdims=True))
    shares: Singles = powers / powers.sum(axis=-1, keepdims=True)
    return shares[..., :-1]


def _floats(values: NDArray[Any]) -> Singles:
    return np.asarray(values).astype(np.float32)


def _require(holds: bool, name: str, values: NDArray[Any], expected: str) -> None:
    if not holds:
        raise WeightsError(f"the output {name} must be {expected}, but is {tuple(values.shape)}: see its JSON file")
