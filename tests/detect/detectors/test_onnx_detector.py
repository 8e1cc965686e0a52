"""Graphs as others export them: boxes, scores and labels apart; YOLOv8's; DETR's; with suppression inside."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch.testing import assert_close

from modicum.detect.detectors.declared_graph import DeclaredGraph
from modicum.detect.detectors.onnx_declaration import OnnxDeclaration, read_declaration
from modicum.detect.detectors.onnx_detector import OnnxDetector
from modicum.detect.detectors.onnx_outputs import read_outputs
from modicum.detect.detectors.opening import open_detector
from modicum.detect.detectors.protocol import Detector
from modicum.storage.errors import WeightsError

BOXES = np.array([[8, 4, 24, 20], [9, 4, 24, 20], [30, 10, 40, 18]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7], np.float32)


APART = {"classes": ["car", "bus"], "boxes": "boxes", "scores": "scores", "labels": "labels"}


def opened(file) -> DeclaredGraph:
    return DeclaredGraph(file, file, read_declaration(file))


def parts(labels=(0, 0, 1)):
    return {"boxes": BOXES, "scores": SCORES, "labels": np.array(labels, np.float32)}


def test_boxes_scores_and_labels_apart_are_suppressed_class_by_class(write_graph, noise_image):
    detector = OnnxDetector(write_graph(parts(), APART))
    images = [noise_image(32, 64), noise_image(20, 40), noise_image(32, 64)]
    found = detector.detect(images)
    for each, image in zip(found, images, strict=True):
        edge = torch.tensor([image.shape[2], image.shape[1]] * 2)
        assert_close(each.boxes, torch.from_numpy(BOXES[[0, 2]]).minimum(edge))
        assert each.labels.tolist() == [0, 1]
    assert isinstance(detector, Detector)


def test_labels_may_count_from_one_and_graphs_take_images_one_by_one(write_graph, noise_image):
    declared = {**APART, "first_label": 1, "nms_iou": None}
    file = write_graph(parts((1, 2, 0)), declared, shape=(1, 3, "h", "w"))
    first, second = OnnxDetector(file).detect([noise_image(32, 64)] * 2)
    assert first.labels.tolist() == second.labels.tolist() == [0, 1]  # the third is of the background


def test_graph_as_torchvision_exports_it_has_no_batch(write_graph, noise_image):
    file = write_graph(parts(), APART, shape=("n", 3, "h", "w"), has_batch=False)
    (found,) = OnnxDetector(file).detect([noise_image(32, 64)])
    assert found.labels.tolist() == [0, 1]


def test_yolov8_has_centres_sizes_and_classes_in_one_output(write_graph, noise_image):
    centres = np.column_stack([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]])
    grades = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]], np.float32)
    combined = np.concatenate([centres, grades], axis=1).T  # (4 + K, N)
    declared = {"classes": ["car", "bus"], "combined": "output0", "box_format": "cxcywh"}
    (found,) = OnnxDetector(write_graph({"output0": combined}, declared, shape=(1, 3, 64, 64))).detect(
        [noise_image(32, 64)]
    )
    assert_close(found.boxes, torch.from_numpy(BOXES[[0, 2]]))
    assert_close(found.scores, torch.from_numpy(SCORES[[0, 2]]))
    assert found.labels.tolist() == [0, 1]


def test_detr_has_shares_of_the_input_and_logits_with_a_class_for_nothing(write_graph, noise_image):
    shares = np.array([[0.25, 0.5, 0.25, 0.5], [0.5, 0.5, 0.1, 0.1]], np.float32)
    logits = np.array([[5.0, 0.0, 0.0], [0.0, 0.0, 9.0]], np.float32)
    declared = {
        "classes": ["car", "bus"],
        "boxes": "pred_boxes",
        "scores": "logits",
        "activation": "softmax",
        "box_format": "cxcywh",
        "boxes_are_shares": True,
        "nms_iou": None,
        "min_score": 0.5,
    }
    detector = OnnxDetector(write_graph({"pred_boxes": shares, "logits": logits}, declared))
    (found,) = detector.detect([noise_image(30, 64)])  # padded to 32x64
    assert_close(found.boxes, torch.tensor([[8.0, 8, 24, 24]]))
    assert found.scores.tolist() == [pytest.approx(np.exp(5) / (np.exp(5) + 2))]


def test_rows_of_graphs_with_suppression_inside_and_features_are_read(write_graph, noise_image):
    rows = np.column_stack([BOXES, SCORES, [0, 0, 1]])
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    declared = {"classes": ["car", "bus"], "rows": "output0", "nms_iou": None, "features": "embedding"}
    detector = OnnxDetector(write_graph({"output0": rows, "embedding": features}, declared))
    (found,) = detector.detect([noise_image(32, 64)])
    assert_close(found.boxes, torch.from_numpy(BOXES))
    assert found.features.tolist() == features.tolist()


def test_input_is_normalised_ordered_and_padded_as_declared(write_graph, noise_image):
    declared = {**APART, "mean": [0.5, 0.25, 0.0], "std": [0.5, 1.0, 2.0], "channels": "rgb", "pad": 51}
    image = noise_image(20, 40)
    picture = image.permute(1, 2, 0).numpy()
    batch = opened(write_graph(parts(), declared)).prepare([picture])
    assert batch.shape == (1, 3, 32, 64)
    shift, scale = (torch.tensor(declared[key])[:, None, None] for key in ("mean", "std"))
    assert_close(torch.from_numpy(batch[0, :, :20, :40]), (image / 255 - shift) / scale)
    assert_close(torch.from_numpy(batch[0, :, 31, 63]), (0.2 - shift[:, 0, 0]) / scale[:, 0, 0])
    caffe = opened(write_graph(parts(), {**APART, "range": 255, "channels": "bgr"}))
    assert_close(torch.from_numpy(caffe.prepare([picture])[0, :, :20, :40]), image.float().flip(0))


def test_graph_of_one_size_gets_true_pixels_padded_and_refuses_larger_images(write_graph, noise_image):
    detector = OnnxDetector(write_graph(parts(), APART, shape=(1, 3, 32, 64)))
    assert detector.only_size == (32, 64)
    assert detector.input_shape(10, 20) == (32, 64)
    assert len(detector.detect([noise_image(20, 40)])[0]) == 2
    with pytest.raises(
        ValueError, match="takes images of 64x32 px alone, got 65x32: choose windows of at most that size"
    ):
        detector.detect([noise_image(32, 65)])


def test_multiply_adds_follow_the_size_of_the_input(write_graph):
    detector = OnnxDetector(write_graph(parts(), APART))
    assert detector.macs(32, 64) == 3 * 4 * 32 * 64
    assert detector.macs(33, 64) == 3 * 4 * 64 * 64


def test_detector_is_opened_by_its_file_and_classes_can_be_chosen(write_graph, noise_image):
    detector = open_detector(write_graph(parts(), APART), classes=["bus"])
    (found,) = detector.detect([noise_image(32, 64)])
    assert (detector.classes, found.labels.tolist(), found.scores.tolist()) == (("bus",), [0], [pytest.approx(0.7)])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (None, r"detector\.json does not exist: an ONNX detector needs a JSON file beside it that names its outputs"),
        ({"classes": ["car"]}, 'must state "classes", and "boxes" with "scores", or "combined", or "rows"'),
        ({**APART, "box": "boxes"}, r"states 'box'; it may state classes, boxes, scores"),
        ({**APART, "box_format": "yxyx"}, "box_format must be one of xyxy, xywh, cxcywh, got 'yxyx'"),
        ({**APART, "scores": "confidence"}, r"has no output 'confidence'; it has boxes, scores, labels"),
        ({**APART, "std": [0, 1, 1]}, "std must be in"),
    ],
)
def test_declaration_that_does_not_fit_is_refused(write_graph, declared, message):
    file = write_graph(parts(), declared or APART)
    if declared is None:
        file.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=message):
        OnnxDetector(file)


@pytest.mark.parametrize("shape", [("n", "h", "w", 3), ("n", 1, "h", "w"), ("n", 3, 32, "w")])
def test_graph_that_takes_no_images_is_refused(write_graph, shape):
    weights = parts()
    try:
        file = write_graph(weights, APART, shape=shape)
    except onnx.checker.ValidationError:
        pytest.skip("onnx itself refuses this graph")
    with pytest.raises(WeightsError, match=r"must take images|height and width must both|cannot load"):
        OnnxDetector(file)


def test_outputs_of_another_shape_than_declared_are_named():
    stated = OnnxDeclaration(("car", "bus"), boxes="boxes", scores="scores")
    with pytest.raises(WeightsError, match=r"the output scores must be 3 rows, as many as boxes, but is \(2, 2\)"):
        read_outputs({"boxes": BOXES, "scores": np.zeros((2, 2))}, stated, (32, 64), (32, 64))


def test_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    (tmp_path / "a.json").write_text(json.dumps(APART))
    with pytest.raises(WeightsError, match=r"a\.onnx"):
        OnnxDetector(tmp_path / "a.onnx")
    with pytest.raises(WeightsError, match=r"gone\.json does not exist"):
        read_declaration(tmp_path / "gone.onnx")
