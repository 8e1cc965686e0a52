import copy
import json
import shutil

import numpy as np
import onnx
import pytest
import torch

from modicum.classify.ranet import export as ranet_export
from modicum.classify.ranet.export import check_export
from modicum.classify.ranet.runner import OnnxRANet
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Written


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_export_answers_alike(exported):
    network, _, folder = exported
    assert check_export(copy.deepcopy(network).eval(), folder) < 1e-5  # measured 4e-7; export itself allows 1e-4


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (lambda result: result._replace(macs=result.macs * 1.01), "macs"),
        (lambda result: result._replace(routes=(result.routes + 1) % 3), "routes of the run"),
    ],
    ids=["macs", "routes"],
)
def test_a_run_of_another_price_or_route_than_decided_is_refused(exported, monkeypatch, change, output):
    network, _, folder = exported
    predict = OnnxRANet.predict
    monkeypatch.setattr(OnnxRANet, "predict", lambda runner, images: change(predict(runner, images)))
    with pytest.raises(ExportError, match=f"output '{output}' of the exported network differs"):
        check_export(copy.deepcopy(network).eval(), folder)


@pytest.mark.parametrize("num_images", [1, 3, 7])
@pytest.mark.parametrize("knob", [-0.5, 0.25, 1.0])
def test_any_batch_size_and_knob_answer_alike(exported, num_images, knob):
    network, _, folder = exported
    images = torch.randn(num_images, 3, 16, 16, generator=torch.Generator().manual_seed(num_images))
    found = OnnxRANet(folder, threads=1).predict(images.numpy(), knob)
    with torch.inference_mode():
        expected = copy.deepcopy(network).eval().predict(images, knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_averaged_exits_answer_alike(averaged):
    network, folder = averaged
    assert check_export(network, folder) < 1e-5


@pytest.mark.parametrize("knob", [-0.5, 0.25, 1.0])
def test_averaged_exits_take_the_same_routes_at_the_same_price_with_the_same_answers(averaged, knob):
    network, folder = averaged
    images = torch.randn(9, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    found = OnnxRANet(folder, threads=1).predict(images.numpy(), knob)
    with torch.inference_mode():
        expected = network.predict(images, knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_the_manifest_states_whether_exits_are_averaged(exported, averaged):
    stated = [
        json.loads((each[-1] / "manifest.json").read_text())["details"]["decision"] for each in (exported, averaged)
    ]
    assert [decision["average"] for decision in stated] == [False, True]
    assert "mean of the probabilities of the exits so far" in stated[1]["answer"]


def test_the_network_stays_in_its_mode_with_its_weights(exported):
    network, before, _ = exported
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_folder_holds_the_stem_and_a_body_and_a_head_per_exit(exported):
    pieces = {f"{kind}_{number}.onnx" for kind in ("body", "head") for number in (1, 2, 3)}
    assert {path.name for path in exported[2].glob("[!.]*")} == pieces | {"stem.onnx", "manifest.json"}


def test_normalisation_is_folded_into_the_convolutions(exported):
    for path in exported[2].glob("*.onnx"):
        operators = {node.op_type for node in onnx.load(path).graph.node}
        assert not operators & {"BatchNormalization", "Mul", "Add"}, path.name


def test_no_tensor_passes_through_a_graph_unchanged(exported):
    graphs = read_manifest(exported[2], system="ranet").graphs
    for role, graph in graphs.items():
        assert not set(graph.input_names) & set(graph.output_names), role


def test_every_tensor_is_written_once_and_before_it_is_read(exported):
    written = {"images"}
    for role, graph in read_manifest(exported[2], system="ranet").graphs.items():
        assert set(graph.input_names) <= written, role
        new = set(graph.output_names) - {"logits"}
        assert not new & written, role
        written |= new


def test_the_manifest_states_what_a_port_needs(exported):
    network, _, folder = exported
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["image_px"] == 16
    assert details["preprocessing"].keys() == {"size", "resize_short", "mean", "std", "interpolation"}
    assert details["decision"]["thresholds"] == network.policy.thresholds(0.25).tolist()
    assert details["decision"]["temperatures"] == network.temperatures.values().tolist()
    assert details["costs"]["per_route"] == list(network.costs.per_route)
    assert sum(details["pieces"]["trunk"] + details["pieces"]["heads"]) == network.costs.per_route[-1]
    assert sum(details["pieces"]["trunk"]) + details["pieces"]["heads"][-1] == details["costs"]["alone"]
    assert (details["knob"], details["calibration"]["target"]) == (0.25, 2.0e6)


def test_an_export_that_answers_differently_leaves_no_folder(exported, export, tmp_path, monkeypatch):
    network, _, folder = exported

    def write_others(_, new):
        shutil.copytree(folder, new, dirs_exist_ok=True)
        return Written(dict(read_manifest(folder, system="ranet").graphs), {})

    changed = copy.deepcopy(network)
    torch.nn.init.normal_(changed.segments[1].head[-1].weight)
    monkeypatch.setattr(ranet_export, "_write_graphs", write_others)
    with pytest.raises(ExportError, match=r"output 'logits of every exit' .* differs by .* more than 0\.0001"):
        export(changed, tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["one"]}, "classes must name the network's 5 classes, got 1 names"),
        ({"preprocessing": dict.fromkeys(("size", "resize_short", "mean", "std"), 32)}, "images of 16 px, not 32"),
        ({"preprocessing": {"size": 16}}, "lacks mean, resize_short, std"),
        ({"knob": float("nan")}, "knob must be a finite number, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(exported, export, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        export(exported[0], tmp_path / "export", **changes)
