"""Exported detectors answer as their originals do."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torchvision.models import resnet18
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.class_names import RelabelledDetector
from modicum.detect.detectors.declared_graph import DeclaredGraph, DeclaredSettings
from modicum.detect.detectors.graph_detector import GraphDetector, GraphSettings
from modicum.detect.detectors.graph_writing import check_detector, exportable, write_detector
from modicum.detect.detectors.onnx_detector import OnnxDetector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.exporting.parity import ExportError

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    reason="needs the extra 'export'",
)


def reopened(detector, folder, *, with_features=True):
    written = write_detector(detector, folder, "coarse", with_features=with_features)
    settings = GraphSettings.read(json.loads(json.dumps(written.settings.stated())))
    return GraphDetector(folder, written.graphs, "coarse", settings, threads=1), written.graphs


@pytest.fixture(scope="module")
def exported(tmp_path_factory, stirred_detector):
    """A light detector, its exported form, and the folder and the graphs of that."""
    detector = stirred_detector()
    folder = tmp_path_factory.mktemp("light")
    runner, graphs = reopened(detector, folder)
    return detector, runner, folder, graphs


def pictures_of(*shapes):
    generator = np.random.default_rng(3)
    blocks = [
        generator.integers(0, 256, (h // 8 + 1, w // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:h, :w] for h, w in shapes
    ]
    return [each.astype(np.uint8) for each in blocks]


def assert_alike(detector, runner, pictures):
    expected = detector.detect([torch.from_numpy(each).permute(2, 0, 1) for each in pictures])
    for own, other, picture in zip(runner.detect(pictures), expected, pictures, strict=True):
        assert np.allclose(own.found.boxes / picture.shape[1], other.boxes / picture.shape[1], atol=1e-4)
        assert np.allclose(own.found.scores, other.scores, atol=1e-4)
        assert np.array_equal(own.found.labels, other.labels)
        if own.features is not None:
            assert np.allclose(own.features, other.features, atol=1e-4)
    return expected


def test_detections_and_features_are_equal_at_any_size_and_batch(exported):
    detector, runner, *_ = exported

    found = assert_alike(detector, runner, pictures_of((100, 150), (64, 64), (100, 150), (33, 200), (1, 1)))

    assert len(found[0]) > 20
    assert len({*found[0].labels.tolist()}) == 2


def test_the_check_of_an_export_passes(exported):
    assert check_detector(*exported[:2]) < 1e-4


def test_the_check_refuses_another_detector(exported, stirred_detector):
    other = stirred_detector(5)
    with pytest.raises(ExportError, match="differs by"):
        check_detector(other, exported[1])


def test_no_pictures_give_no_answers(exported):
    assert exported[1].detect([]) == []


def test_more_candidates_than_are_shifted_aside_are_suppressed_alike(exported, stirred_detector):
    _, runner, folder, graphs = exported
    detector = stirred_detector(min_score=0.0, max_detections=2000)
    settings = replace(runner.settings, min_score=0.0, candidates=2000, max_detections=2000)

    found = assert_alike(
        detector, GraphDetector(folder, graphs, "coarse", settings, threads=1), pictures_of((120, 160))
    )

    assert len(found[0]) > 100


def test_classes_are_kept_and_renamed_as_asked(exported):
    detector, runner, folder, graphs = exported
    vehicles = RelabelledDetector(detector, ["vehicle"], {"vehicle": "bus"})
    settings = replace(runner.settings, new_labels=exportable(vehicles)[1])

    found = assert_alike(vehicles, GraphDetector(folder, graphs, "coarse", settings, threads=1), pictures_of((96, 128)))

    assert {*found[0].labels.tolist()} == {0}


def test_retinanet_with_a_pyramid_is_equal(stir, tmp_path):
    torch.manual_seed(0)
    trunk = _resnet_fpn_extractor(resnet18(), 5, returned_layers=[3, 4], extra_blocks=LastLevelMaxPool())
    sizes = tuple((size,) for size in (32, 64, 128))
    model = RetinaNet(trunk, 3, anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3))
    detector = TorchvisionDetector(stir(model), ("a", "b", "c"), limits=DetectionLimits(max_detections=50))
    runner, _ = reopened(detector, tmp_path)

    found = assert_alike(detector, runner, pictures_of((128, 160)))

    assert len(found[0]) > 10
    assert check_detector(detector, runner) < 1e-4


def test_a_users_graph_is_copied_with_its_declaration(write_graph, tmp_path):
    outputs = {"boxes": np.array([[8, 4, 24, 20], [30, 10, 40, 18]]), "scores": np.array([0.9, 0.7])}
    outputs["labels"] = np.array([1, 0])
    declared = {"classes": ["car", "bus"], "boxes": "boxes", "scores": "scores", "labels": "labels", "mean": [0.5] * 3}
    detector = RelabelledDetector(OnnxDetector(write_graph(outputs, declared)), ["bus"])
    folder = tmp_path / "export"
    folder.mkdir()

    written = write_detector(detector, folder, "fine", with_features=False)

    settings = DeclaredSettings.read(json.loads(json.dumps(written.settings.stated())))
    file = folder / written.graphs["fine"].file
    runner = DeclaredGraph(file, file, settings.declaration, new_labels=settings.new_labels, threads=1)
    found = assert_alike(detector, runner, pictures_of((32, 64), (20, 40), (32, 64)))
    assert [len(each) for each in found] == [1, 1, 1]
    assert check_detector(detector, runner) < 1e-6


def test_a_function_is_refused_with_what_can_be_exported(tmp_path):
    with pytest.raises(ExportError, match="CallableDetector cannot be exported: modicum writes light detectors"):
        write_detector(CallableDetector(lambda images: [], ["car"]), tmp_path, "coarse", with_features=False)


def test_a_model_of_another_kind_is_refused(model_of, tmp_path):
    detector = TorchvisionDetector(model_of("ssdlite320_mobilenet_v3_large"), ("__background__", "a", "b"))
    with pytest.raises(ExportError, match="SSD cannot be exported"):
        write_detector(detector, tmp_path, "coarse", with_features=False)
