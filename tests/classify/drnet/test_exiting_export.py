import json

import numpy as np
import onnx
import pytest
import torch

from modicum.classify.cascade.runner import OnnxCascade
from modicum.classify.drnet.exiting_export import check_exiting
from modicum.classify.drnet.export import export_drnet
from modicum.classify.drnet.runner import OnnxDRNet
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Stated

PREPROCESSING = {"size": 32, "resize_short": 36, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network(build_exiting):
    return build_exiting(average=True)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drnet") / "export"
    return export_drnet(network, folder, Stated(PREPROCESSING, CLASSES, 0.5, None))


@pytest.fixture
def runner(folder):
    return OnnxCascade(folder, threads=1, system="drnet")


def test_the_export_answers_alike(network, folder):
    assert check_exiting(network, folder) < 3e-5


@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_any_knob_takes_the_same_routes_at_the_same_price(network, runner, images, knob):
    found, expected = runner.predict(images.numpy(), knob), network.predict(images, knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_only_images_that_stay_go_on(runner, images, monkeypatch):
    seen = []
    steps = [lambda x, step=step: seen.append(len(x)) or step(x) for step in runner._steps]
    monkeypatch.setattr(runner, "_steps", steps)
    routes = runner.predict(images.numpy()).routes
    assert seen == [int((routes >= step).sum()) for step in range(3)]
    assert seen[-1] > 0


def test_every_graph_reads_images_and_has_its_normalisation_folded(folder):
    graphs = read_manifest(folder, system="drnet").graphs
    assert {role: graph.input_names for role, graph in graphs.items()} == {f"step {n}": ("images",) for n in (1, 2, 3)}
    for path in folder.glob("*.onnx"):
        assert "BatchNormalization" not in {node.op_type for node in onnx.load(path).graph.node}


def test_the_manifest_states_the_decision(network, folder):
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["steps"] == [{"size_px": 16}, {"size_px": 24}, {"size_px": 32}]
    assert details["decision"]["thresholds"] == network.policy.table.values().tolist()
    assert details["decision"]["average"] is True
    assert details["costs"]["decision"] == 0


def test_the_runner_of_predictors_says_what_runs_it(folder):
    with pytest.raises(ExportError, match=r'decides by confidence.*OnnxCascade\(folder, system="drnet"\)'):
        OnnxDRNet(folder)
