"""The figures of COCO: average precision by overlap and by size of objects, through faster-coco-eval."""
# N images

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.detect.average_precision import MAX_DETECTIONS
from modicum.detect.boxes import Detections, Objects, box_array
from modicum.storage.errors import MissingExtraError

_PLACES = (0, 1, 2, 3, 4, 5, 8)  # of the figures below in COCO's statistics


@dataclass(frozen=True)
class CocoFigures:
    """The figures of one detector on a set of images, in [0, 1]; None where the set holds no such object.

    Attributes:
        ap: Average precision, the mean over overlaps from 0.5 to 0.95.
        ap50: At an overlap of 0.5.
        ap75: At 0.75.
        ap_small: Of objects below 32 x 32 pixels of the full image.
        ap_medium: From there to 96 x 96.
        ap_large: Above.
        recall: The mean over overlaps of the share of objects found, with all detections counted.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    recall: float | None


def coco_figures(
    found: Sequence[Detections], objects: Sequence[Objects], *, max_detections: int = MAX_DETECTIONS
) -> CocoFigures:
    """Measures detections on images with these objects.

    Low scores belong to the curve: keep detections from about 0.01 on.

    Args:
        found: Of N images.
        objects: Of the same images.
        max_detections: Per image and class; 100 is COCO's, more suits images of more objects.

    Raises:
        MissingExtraError: If faster-coco-eval is not installed.
    """
    if not any((~each.ignore).any() for each in objects):
        return CocoFigures(*[None] * 7)
    stats = _evaluate(found, objects, max_detections)
    return CocoFigures(*(None if stats[place] < 0 else stats[place] for place in _PLACES))


def _evaluate(found: Sequence[Detections], objects: Sequence[Objects], max_detections: int) -> list[float]:
    """Returns the statistics in the order in which COCO prints them."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtraError("faster-coco-eval", "detect") from error
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # it tells its tables line by line
    truth = COCO(_truth(objects))
    evaluation = COCOeval_faster(truth, truth.loadRes(_results(found, objects)), "bbox")
    evaluation.params.maxDets = [1, 10, max_detections]
    evaluation.run()
    return [float(value) for value in evaluation.stats]


def _truth(objects: Sequence[Objects]) -> dict[str, list[dict[str, object]]]:
    """Returns the objects in COCO's format; the area of an object is that of its box."""
    annotations: list[dict[str, object]] = []
    for image, each in enumerate(objects):
        sides = _with_sides(each.boxes)
        rows = zip(sides.tolist(), each.labels.tolist(), each.ignore.tolist(), strict=True)
        for box, label, ignore in rows:
            number, area = len(annotations) + 1, box[2] * box[3]
            annotations.append(
                {
                    "id": number,  # from 1 on: 0 would stand for no match
                    "image_id": image,
                    "category_id": label,
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(ignore),
                }
            )
    classes = sorted({label for each in objects for label in each.labels.tolist()})
    return {
        "images": [{"id": image} for image in range(len(objects))],
        "categories": [{"id": label} for label in classes],
        "annotations": annotations,
    }


def _results(found: Sequence[Detections], objects: Sequence[Objects]) -> NDArray[np.float64]:
    """Returns detections as rows of image, left, top, width, height, score and class."""
    rows = [np.zeros((0, 7))]
    for image, (each, _) in enumerate(zip(found, objects, strict=True)):
        first, scores, labels = (
            column.double().cpu().numpy()[:, None]
            for column in (torch.full((len(each),), image), each.scores, each.labels)
        )
        rows.append(np.concatenate([first, _with_sides(each.boxes), scores, labels], axis=1))
    return np.concatenate(rows)


def _with_sides(boxes: Tensor) -> NDArray[np.float64]:
    """Returns boxes as left, top, width and height."""
    corners = box_array(boxes)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
