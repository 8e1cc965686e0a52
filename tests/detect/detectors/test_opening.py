import json
import time

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from modicum.detect.detectors import opening
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.opening import model_names, open_detector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.storage.errors import DataError, WeightsError
from modicum.storage.weights import save_network


@pytest.fixture
def write_weights(model_of, tmp_path):
    """Function that writes the state of a model for three labels, and the JSON file beside it."""

    def write(name, stated, suffix=".pth"):
        file = tmp_path / f"mine{suffix}"
        state = model_of(name).state_dict()
        if suffix == ".pth":
            torch.save(state, file)
        else:
            save_file({key: value.clone() for key, value in state.items()}, file)
        if stated is not None:
            file.with_suffix(".json").write_text(json.dumps(stated))
        return file

    return write


FASTER = "fasterrcnn_mobilenet_v3_large_fpn"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_torchvision_are_opened_with_the_json_beside_them(write_weights, model_of, noise_image, suffix):
    file = write_weights(FASTER, {"model": FASTER, "classes": ["car", "bus"]}, suffix)
    detector = open_detector(file, limits=DetectionLimits(0.05, 5))
    assert detector.classes == ("__background__", "car", "bus")
    assert len(detector.detect([noise_image(64, 96)])[0]) == 5
    assert open_detector(file, classes=["bus"]).classes == ("bus",)
    with pytest.raises(DataError, match="no class 'plane'; it has 'car', 'bus'"):
        open_detector(file, classes=["plane"])


def test_light_detector_is_opened_by_its_file_alone(tmp_path, noise_image):
    save_network(tmp_path / "coarse.safetensors", LightFCOS(["car"]).eval())
    detector = open_detector(tmp_path / "coarse.safetensors", limits=DetectionLimits(0.0, 3))
    assert detector.classes == ("car",)
    assert len(detector.detect([noise_image(64, 96)])[0]) == 3


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (None, r"mine\.json does not exist; a detector can be an \.onnx file"),
        ({"model": FASTER}, r"must state model and classes, a list.*it states 'model'"),
        (
            {"model": "fasterrcnn", "classes": ["car", "bus"]},
            "there is no detector 'fasterrcnn'.*fasterrcnn_resnet50_fpn",
        ),
        ({"model": FASTER, "classes": ["car"]}, r"does not fit fasterrcnn_mobilenet.* with 2 classes: .*cls_score"),
        ({"model": "fcos_resnet50_fpn", "classes": ["car", "bus"]}, "does not fit fcos_resnet50_fpn with 2 classes"),
    ],
)
def test_weights_that_do_not_fit_what_is_stated_are_refused(write_weights, stated, message):
    with pytest.raises(WeightsError, match=message):
        open_detector(write_weights(FASTER, stated))


def test_name_without_local_weights_fails_within_seconds_and_says_what_else_can_be_given(monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "local_file", lambda name: tmp_path / name)
    monkeypatch.setattr("modicum.nn.published._probe", lambda url: "no route to host")
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=r"fcos_resnet50_fpn cannot be fetched from .*: .*--detector FILE"):
        open_detector("fcos_resnet50_fpn")
    assert time.monotonic() - begun < 5


def test_name_with_local_weights_is_opened_with_the_published_classes(monkeypatch, tmp_path, noise_image):
    weights = torchvision.models.get_model_weights("ssdlite320_mobilenet_v3_large")["DEFAULT"]
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / weights.url.rpartition("/")[2]
    file.write_bytes(b"found")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    original = torchvision.models.get_model
    asked = []

    def untrained(name, *, weights, weights_backbone, progress):
        asked.append((name, weights, weights_backbone))
        return original(name, weights=None, weights_backbone=None)

    monkeypatch.setattr(torchvision.models, "get_model", untrained)
    detector = open_detector("ssdlite320_mobilenet_v3_large", classes=["car", "person"])
    assert asked == [("ssdlite320_mobilenet_v3_large", weights, None)]
    assert detector.classes == ("car", "person")
    assert detector.squeezes_to == (320, 320)


def test_misspelt_name_is_corrected():
    with pytest.raises(WeightsError, match="there is no detector 'fcos_resnet50', but fcos_resnet50_fpn"):
        open_detector("fcos_resnet50")
    with pytest.raises(WeightsError, match=r"detector: gone\.onnx does not exist"):
        open_detector("gone.onnx")


def test_all_detectors_of_torchvision_can_be_named():
    assert {"fcos_resnet50_fpn", "retinanet_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn", "ssd300_vgg16"} <= set(
        model_names()
    )
