"""Finds the detector that a user names: a file, or a model of torchvision whose weights are on this machine."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from modicum.detect.detectors.class_names import NO_CLASS, RelabelledDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.onnx_detector import OnnxDetector
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.nn.published import local_file, require_reachable
from modicum.storage.errors import WeightsError, first_few
from modicum.storage.files import read_json_object
from modicum.storage.header import FORMAT, read_raw_header
from modicum.storage.states import read_state
from modicum.storage.weights import load_network

WAYS = (
    "an .onnx file with a JSON file beside it that names its outputs; a .safetensors, .pth or .pt file of weights of a "
    'detector of torchvision, with a JSON file beside it such as {"model": "fcos_resnet50_fpn", "classes": ["car"]}; a '
    "light detector that modicum trained; or the name of a detector of torchvision"
)
"""Says in messages what a detector may be."""

_STATED = ("model", "classes", "options")
_BACKGROUND_MODELS = ("fasterrcnn", "maskrcnn", "ssd", "ssdlite320")


def open_detector(
    detector: str | Path,
    *,
    classes: Sequence[str] | None = None,
    limits: DetectionLimits | None = None,
) -> Detector:
    """Opens the detector that ``detector`` names; a name without weights on this machine fails within seconds.

    Args:
        detector: A file, or the name of a model; see `WAYS`.
        classes: Keep the detections of these classes alone, as labels 0, 1 ...; None keeps all.
        limits: What is reported; an ONNX file states its own.

    Raises:
        WeightsError: If there is no such detector, or its weights cannot be had or do not fit.
        MissingExtraError: If a package is missing that it needs.
        DataError: If it does not know one of ``classes``.
    """
    path = Path(detector).expanduser()
    found = _open_file(path, limits) if path.is_file() or path.suffix else _open_published(str(detector), limits)
    return found if classes is None else RelabelledDetector(found, classes)


def model_names() -> list[str]:
    """Lists the detectors of torchvision that can be named."""
    names: list[str] = torchvision.models.list_models(module=torchvision.models.detection)
    return [name for name in names if not name.startswith("keypoint")]


def _open_file(path: Path, limits: DetectionLimits | None) -> Detector:
    if not path.is_file():
        raise WeightsError(f"detector: {path} does not exist; it can be {WAYS}")
    if path.suffix.lower() == ".onnx":
        return OnnxDetector(path)
    if _is_ours(path):
        light = load_network(path, {LightFCOS.storage_name: LightFCOS})
        return TorchvisionDetector(light.fcos, light.classes, limits=limits)
    stated = _read_beside(path)
    name, names = str(stated["model"]), [str(each) for each in stated["classes"]]
    return _fill(name, names, read_state(path), dict(stated.get("options", {})), path, limits)


def _is_ours(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors" and read_raw_header(path).metadata.get("format") == FORMAT


def _read_beside(path: Path) -> Mapping[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise WeightsError(f"{beside} does not exist; a detector can be {WAYS}")
    stated = read_json_object(beside)
    if not {"model", "classes"} <= set(stated) <= set(_STATED) or not isinstance(stated["classes"], list):
        raise WeightsError(
            f"{beside} must state model and classes, a list, and may state options, the arguments of the model; it "
            f"states {first_few(list(stated)) or 'nothing'}"
        )
    if stated["model"] not in model_names():
        raise WeightsError(f"{beside}: {_unknown(str(stated['model']))}")
    return stated


def _fill(
    name: str,
    classes: list[str],
    state: Mapping[str, Tensor],
    options: Mapping[str, Any],
    path: Path,
    limits: DetectionLimits | None,
) -> TorchvisionDetector:
    """Builds a model of torchvision and fills it; a class for the background is added where only it is missing."""
    if name.startswith(_BACKGROUND_MODELS) and classes[0] not in NO_CLASS:
        classes = [NO_CLASS[0], *classes]
    model = _build(name, len(classes), options)
    expected = model.state_dict()
    wrong = [key for key in expected if key not in state or state[key].shape != expected[key].shape]
    wrong += [key for key in state if key not in expected]
    if wrong:
        raise WeightsError(
            f"{path} does not fit {name} with {len(classes)} classes: {first_few(wrong, 3)} is missing, unknown or of "
            "another shape; correct model or classes in the JSON file beside it"
        )
    model.load_state_dict(state)
    return TorchvisionDetector(model.eval(), classes, limits=limits)


def _build(name: str, num_classes: int, options: Mapping[str, Any]) -> nn.Module:
    # Without the second None, torchvision fetches weights of the backbone.
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=num_classes, **options
    )
    return model


def _open_published(name: str, limits: DetectionLimits | None) -> TorchvisionDetector:
    if name not in model_names():
        raise WeightsError(f"detector: {_unknown(name)}")
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    file = local_file(Path(weights.url).name)
    if not file.exists():
        advice = f"fetch that file elsewhere and put it at {file}, or give another detector: --detector FILE, {WAYS}"
        require_reachable(weights.url, name, advice)
    model: nn.Module = torchvision.models.get_model(name, weights=weights, weights_backbone=None, progress=False)
    return TorchvisionDetector(model.eval(), weights.meta["categories"], limits=limits)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, model_names(), n=1)
    hint = f", but {close[0]}" if close else ""
    known = ", ".join(model_names())
    return f"there is no detector {name!r}{hint}. Those of torchvision are {known}. A detector can be {WAYS}"
