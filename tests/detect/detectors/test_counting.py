"""Multiply-adds of the detectors of torchvision, against figures counted by hand or published with the method."""

import pytest
import torchvision

from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits


def detector(name, num_classes):
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    return TorchvisionDetector(model.eval(), [str(label) for label in range(num_classes)])


@pytest.mark.parametrize(
    ("name", "num_classes", "gmacs"),
    [
        ("fcos_resnet50_fpn", 1, {(544, 960): 102.4, (1080, 1920): 409}),
        ("retinanet_resnet50_fpn", 1, {(544, 960): 103.5, (1080, 1920): 414}),
        ("ssdlite320_mobilenet_v3_large", 2, {(272, 480): 0.4, (1088, 1920): 0.4}),  # it sees 320x320 of either
    ],
)
def test_trunk_and_dense_heads_are_counted_at_the_shape_they_get(name, num_classes, gmacs):
    counted = detector(name, num_classes)
    for shape, expected in gmacs.items():
        assert counted.macs(*shape) / 1e9 == pytest.approx(expected, rel=0.01, abs=0.06)


def test_image_is_counted_with_the_padding_that_it_gets():
    counted = detector("fcos_resnet50_fpn", 1)
    assert counted._dense_macs((272, 480)) / 1e9 == pytest.approx(25.8, rel=0.01)  # as published, without
    assert counted.macs(272, 480) == counted.macs(288, 480) == counted._dense_macs((288, 480))


@pytest.mark.parametrize(
    ("name", "gmacs"), [("fasterrcnn_resnet50_fpn", 97.9), ("fasterrcnn_mobilenet_v3_large_fpn", 3.7)]
)
def test_region_heads_cost_13_9_gmacs_for_1000_proposals(name, gmacs):
    counted = detector(name, 2)
    proposals = DetectionLimits().proposals(544, 960)
    assert (counted.macs(544, 960) - proposals * 13.9039e6) / 1e9 == pytest.approx(gmacs, rel=0.01)
    whole = DetectionLimits(proposals_per_megapixel=10**6)
    everything = TorchvisionDetector(counted._model, counted.classes, limits=whole)
    more = 1000 - DetectionLimits().proposals(272, 480)
    assert (everything.macs(272, 480) - counted.macs(272, 480)) / more == pytest.approx(13.9039e6, rel=1e-3)


def test_proposals_are_in_proportion_to_the_area():
    limits = DetectionLimits()
    assert [limits.proposals(*shape) for shape in ((1080, 1920), (540, 960), (288, 480), (64, 64), (4000, 6000))] == [
        995,
        249,
        66,
        50,
        1000,
    ]


def test_light_detector_is_counted_as_by_hand():
    network = LightFCOS(["car"]).eval()
    height, width = 64, 96
    by_hand, positions = 0, 0
    for inputs, outputs, stride in (
        (3, 16, 2),
        (16, 32, 4),
        (32, 64, 8),
        (64, 64, 8),
        (64, 64, 8),
        (64, 96, 16),
        (96, 64, 16),
    ):
        by_hand += 9 * inputs * outputs * (height // stride) * (width // stride)
    for stride in (8, 16):
        positions += (height // stride) * (width // stride)
    by_hand += positions * 9 * 64 * (4 * 64 + 1 + 4 + 1)
    assert TorchvisionDetector(network.fcos, ["car"]).macs(height, width) == by_hand
