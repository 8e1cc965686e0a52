"""The figures of COCO against pycocotools, and the sets on which it says nothing."""

import contextlib
import io
import sys

import numpy as np
import pytest
import torch
from drawn_sets import as_boxes, draw_images
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.boxes import Detections, Objects
from modicum.detect.metrics import CocoFigures, coco_figures
from modicum.storage.errors import MissingExtraError


def reference_figures(found, objects):
    """The same by pycocotools; None where it says -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, (own, wanted) in enumerate(zip(found, objects, strict=True)):
        for box, label, ignore in zip(
            wanted.boxes.double(), wanted.labels.tolist(), wanted.ignore.tolist(), strict=True
        ):
            sides = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            area = sides[2] * sides[3]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": label, "bbox": sides, "area": area}
                | {"iscrowd": int(ignore)}
            )
        for box, score, label in zip(own.boxes.double(), own.scores.tolist(), own.labels.tolist(), strict=True):
            sides = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            results.append({"image_id": image, "category_id": label, "bbox": sides, "score": score})
    truth = COCO()
    classes = sorted({row["category_id"] for row in annotations})
    images = [{"id": image} for image in range(len(found))]
    truth.dataset = {
        "info": {},
        "images": images,
        "categories": [{"id": each} for each in classes],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(evaluation.stats[place]) for place in (0, 1, 2, 3, 4, 5, 8)]
    return CocoFigures(*(None if value < 0 else value for value in values))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_figures_are_those_of_pycocotools(seed):
    found, objects = draw_images(seed, 8)
    ours, reference = coco_figures(found, objects), reference_figures(found, objects)

    for name in CocoFigures.__dataclass_fields__:
        assert getattr(ours, name) == pytest.approx(getattr(reference, name), abs=1e-6), name


def test_images_without_objects_have_no_figures():
    found, _ = draw_images(0, 3)

    assert coco_figures(found, [Objects.empty()] * 3) == CocoFigures(*[None] * 7)


def test_detections_of_classes_without_an_object_do_not_count():
    found, objects = draw_images(2, 6)
    stray = Detections(as_boxes([[0, 0, 10, 10]]), torch.tensor([0.99]), torch.tensor([7]))

    assert coco_figures([Detections.join([own, stray]) for own in found], objects) == coco_figures(found, objects)


def test_nothing_found_is_worth_nothing():
    _, objects = draw_images(1, 5)

    assert coco_figures([Detections.empty()] * 5, objects).ap == 0


def test_more_detections_than_cocos_hundred_count_where_it_is_asked_for():
    boxes = as_boxes(
        [[10 * column, 10 * row, 10 * column + 8, 10 * row + 8] for row in range(10) for column in range(12)]
    )
    labels = torch.zeros(120, dtype=torch.int64)
    objects = Objects(boxes, labels, torch.zeros(120, dtype=torch.bool))
    found = Detections(boxes, torch.linspace(0.1, 0.9, 120), labels)

    assert coco_figures([found], [objects]).recall == pytest.approx(100 / 120)
    assert coco_figures([found], [objects], max_detections=500).ap == pytest.approx(1)


def test_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    found, objects = draw_images(0, 3)

    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[detect\]'"):
        coco_figures(found, objects)


def test_sizes_are_those_of_the_full_image():
    boxes = as_boxes([[0, 0, 31, 31], [100, 100, 160, 160], [200, 200, 400, 400]])
    labels = torch.zeros(3, dtype=torch.int64)
    found = Detections(boxes[[0, 2]], torch.tensor([0.9, 0.8]), labels[:2])
    figures = coco_figures([found], [Objects(boxes, labels, torch.zeros(3, dtype=torch.bool))])

    assert np.allclose([figures.ap_small, figures.ap_medium, figures.ap_large], [1, 0, 1])
