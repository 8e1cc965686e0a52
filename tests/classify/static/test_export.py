import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnxruntime", reason="the export extra is not installed")

from modicum.adaptive.knobs import KnobError
from modicum.classify.static.export import check_export, export_static
from modicum.classify.static.runner import OnnxStatic
from modicum.exporting.parity import ExportError
from modicum.exporting.writing import Stated

PREPROCESSING = {"size": 32, "resize_short": 36, "mean": [0.5] * 3, "std": [0.25] * 3}
CLASSES = list("abcde")


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "family"
    return export_static(family, out, Stated(PREPROCESSING, CLASSES, knob=0.5))


@pytest.fixture(scope="module")
def runner(folder):
    return OnnxStatic(folder, threads=1)


def test_folder_holds_a_graph_per_member(folder):
    assert {file.name for file in folder.glob("*.onnx")} == {"photo_resnet.onnx", "digit_resnet.onnx"}
    assert json.loads((folder / "manifest.json").read_text())["system"] == "static"


@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_runner_decides_and_answers_like_the_network(family, runner, images, knob):
    expected, found = family.predict(images, knob), runner.predict(images.numpy(), knob)
    assert found.routes.tolist() == expected.routes.tolist()
    assert found.macs.tolist() == expected.macs.tolist()
    np.testing.assert_allclose(found.logits, expected.outputs.detach(), atol=1e-4)


def test_runner_uses_the_exported_knob(runner, images):
    assert [runner.labels[route] for route in runner.predict(images.numpy()).routes] == ["digit_resnet"] * 6


def test_runner_takes_no_images(runner):
    assert runner.predict(np.empty((0, 3, 32, 32), np.float32)).logits.shape == (0, 5)


def test_runner_classifies_a_picture(runner, digit_folder):
    result = runner.classify(next(digit_folder.rglob("*.png")))
    assert result.predicted in CLASSES
    assert result.route == "digit_resnet"
    assert result.cost == pytest.approx(3_060_032 / 4_056_320)


def test_wrong_images_and_routes_are_refused(runner, images):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\) float32"):
        runner.predict(images.double().numpy())
    with pytest.raises(ValueError, match=r"routes must be 6 numbers in \[0, 2\)"):
        runner.run(images.numpy(), np.full(6, 2))


def test_export_that_answers_differently_is_refused(family, folder):
    other = torch.nn.Module.cpu(family)
    state = {name: value.clone() for name, value in family.state_dict().items()}
    try:
        with torch.no_grad():
            other.networks[0].linear.bias.add_(1)
        with pytest.raises(ExportError, match="logits of photo_resnet"):
            check_export(other, folder)
    finally:
        family.load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": PREPROCESSING | {"size": 48}}, "images of 32 px, not 48"),
        ({"preprocessing": {"size": 32}}, "lacks mean, resize_short, std"),
        ({"classes": ["a"]}, "network's 5 classes, got 1 names"),
        ({"knob": float("nan")}, "knob must be a finite number"),
    ],
)
def test_what_does_not_fit_is_refused(family, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        export_static(family, tmp_path / "out", replace(Stated(PREPROCESSING, CLASSES, knob=0.5), **change))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("knob", [float("inf"), float("-inf"), float("nan")])
def test_a_knob_that_is_no_finite_number_is_refused(runner, knob):
    images = np.zeros((3, 3, 32, 32), np.float32)
    for use in (
        lambda: runner.decide(3, knob),
        lambda: runner.predict(images, knob),
        lambda: runner.classify(Image.new("RGB", (32, 32)), knob),
    ):
        with pytest.raises(KnobError, match=f"knob must be a finite number, got {knob}"):
            use()
