import copy
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from classify_cascade import build
from PIL import Image

from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.exits import FrozenTable
from modicum.adaptive.knobs import KnobError
from modicum.classify.cascade.export import check_export, export_cascade
from modicum.classify.cascade.folding import fold_cascade
from modicum.classify.cascade.runner import OnnxCascade
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Stated

PREPROCESSING = {"size": 48, "resize_short": 52, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "flip": True}
CLASSES = [f"class {number}" for number in range(5)]
CALIBRATION = {"target": 2.0e6, "unit": "MAC", "knob": 0.5, "achieved": 1.9e6}
WITHOUT_TORCH = """
import sys
import numpy as np
from modicum.classify.cascade.runner import OnnxCascade
net = OnnxCascade(sys.argv[1], threads=1)
assert net.predict(np.zeros((2, 3, 48, 48), np.float32)).logits.shape == (2, 5)
assert net.classify(sys.argv[2]).predicted.startswith("class ")
assert not {"torch", "torchvision", "timm", "sklearn"} & set(sys.modules)
"""


def random_images(num_images):
    return np.random.default_rng(0).standard_normal((num_images, 3, 48, 48)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """A cascade whose answers are averaged, with a temperature for each step."""
    network = build(average=True)
    network.temperatures = FrozenTable(torch.tensor([8.0, 12.0, 16.0]))
    sure = network.scores(torch.from_numpy(random_images(12)))[:, :2]
    rows = [torch.full((2,), 2.0), sure.quantile(0.7, dim=0), torch.zeros(2)]
    network.policy = NestedThresholds(torch.stack(rows))
    return network


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascade") / "export"
    before = copy.deepcopy(network.train().state_dict())
    export_cascade(network, folder, Stated(PREPROCESSING, CLASSES, 0.5, CALIBRATION))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.eval()
    return folder


@pytest.fixture
def net(folder):
    return OnnxCascade(folder, threads=1)


class Spy:
    """A graph that notes its number and how many images it gets."""

    def __init__(self, number, step, calls):
        self.number, self.step, self.calls = number, step, calls

    def __call__(self, *tensors):
        (size,) = {len(tensor) for tensor in tensors}
        self.calls.append((self.number, size))
        return self.step(*tensors)


@pytest.fixture
def calls(net, monkeypatch):
    """Number of each graph that is run, with the size of its batch, in order."""
    calls = []
    monkeypatch.setattr(net, "_steps", [Spy(number, step, calls) for number, step in enumerate(net._steps, start=1)])
    return calls


def test_the_export_answers_alike(network, folder):
    assert check_export(network, folder) < 3e-5  # measured 6e-6; export itself allows 1e-4


@pytest.mark.parametrize("num_images", [1, 3, 12])
@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_any_batch_size_and_knob_answer_alike(network, net, num_images, knob):
    images = random_images(num_images)
    found = net.predict(images, knob)
    with torch.inference_mode():
        expected = network.predict(torch.from_numpy(images), knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_images_leave_at_every_step(net):
    assert set(net.predict(random_images(12)).routes.tolist()) == {0, 1, 2}


def test_a_folded_cascade_exports_alike(network, folder):
    assert check_export(fold_cascade(network), folder) < 3e-5


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (lambda result: result._replace(macs=result.macs * 1.01), "macs"),
        (lambda result: result._replace(routes=(result.routes + 1) % 3), "routes of the run"),
    ],
    ids=["macs", "routes"],
)
def test_a_run_of_another_price_or_route_than_decided_is_refused(network, folder, monkeypatch, change, output):
    predict = OnnxCascade.predict
    monkeypatch.setattr(OnnxCascade, "predict", lambda runner, images: change(predict(runner, images)))
    with pytest.raises(ExportError, match=f"output '{output}' of the exported network differs"):
        check_export(network, folder)


def test_an_export_with_another_head_is_refused(network, folder):
    changed = copy.deepcopy(network)
    torch.nn.init.normal_(changed.heads[1].weight)
    with pytest.raises(ExportError, match="output 'log-probabilities of every step' of the exported network differs"):
        check_export(changed, folder)


def test_a_step_of_the_same_size_reads_what_the_step_before_left(folder):
    graphs = read_manifest(folder, system="cascade").graphs
    assert {role: (graph.input_names, graph.output_names) for role, graph in graphs.items()} == {
        "step 1": (("images",), ("log_probabilities", "maps_1", "pooled_1")),
        "step 2": (("maps_1", "pooled_1"), ("log_probabilities",)),
        "step 3": (("images",), ("log_probabilities",)),
    }


def test_normalisation_is_folded_and_images_are_resized_by_products(folder):
    for path in folder.glob("*.onnx"):
        operators = {node.op_type for node in onnx.load(path).graph.node}
        assert not operators & {"BatchNormalization", "Resize"}, path.name


def test_the_manifest_states_what_a_port_needs(network, folder):
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["image_px"] == 48
    assert details["steps"] == [{"size_px": 32, "exit": 1}, {"size_px": 32, "exit": 2}, {"size_px": 48, "exit": 2}]
    assert details["decision"]["thresholds"] == network.policy.table.values().tolist()
    assert (details["decision"]["average"], details["decision"]["confidence"]) == (True, "margin")
    assert details["decision"]["temperatures"] == [8.0, 12.0, 16.0]
    assert details["costs"]["per_route"] == list(network.costs.per_route)
    assert details["costs"]["alone"] == network.costs.plain
    assert (details["knob"], details["calibration"]["target"]) == (0.5, 2.0e6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["one"]}, "classes must name the network's 5 classes, got 1 names"),
        ({"preprocessing": dict.fromkeys(("size", "resize_short", "mean", "std"), 32)}, "images of 48 px, not 32"),
        ({"knob": float("nan")}, "knob must be a finite number, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(network, tmp_path, changes, message):
    options = {"preprocessing": PREPROCESSING, "classes": CLASSES, "knob": 0.5, **changes}
    with pytest.raises(ValueError, match=message):
        export_cascade(network, tmp_path / "export", Stated(**options))
    assert not list(tmp_path.iterdir())


def test_only_images_that_stay_go_on(net, calls):
    images, routes = random_images(5), np.array([2, 0, 1, 2, 0])
    found = net.run(images, routes)
    assert calls == [(1, 5), (2, 3), (3, 2)]
    single = [net.run(images[row : row + 1], routes[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(found, np.stack(single), atol=1e-5)


def test_nothing_is_run_after_all_images_have_left(net, calls):
    result = net.predict(random_images(3), 1.0)
    assert calls == [(1, 3)]
    assert result.macs.tolist() == [net._route_macs[0]] * 3


def test_an_empty_batch_runs_nothing(net, calls):
    result = net.predict(random_images(0))
    assert (result.logits.shape, result.routes.shape, result.macs.shape, calls) == ((0, 5), (0,), (0,), [])
    assert net.scores(random_images(0)).shape == (0, 3)


def test_an_image_that_is_not_a_number_leaves_at_the_last_step_and_disturbs_no_other(net):
    images = random_images(3)
    rest = net.predict(images[[0, 2]])
    images[1] = np.nan
    found = net.predict(images)
    assert found.routes[1] == 2
    assert np.isnan(found.logits[1]).all()
    np.testing.assert_array_equal(found.routes[[0, 2]], rest.routes)
    np.testing.assert_allclose(found.logits[[0, 2]], rest.logits, atol=1e-5)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 32, 32), np.float32), np.zeros((3, 48, 48), np.float32), np.zeros((0, 3, 32, 32))]
)
def test_other_shapes_and_types_are_refused(net, images):
    for use in (net.predict, net.scores):
        with pytest.raises(ValueError, match=r"images must be \(B, 3, 48, 48\) float32, normalised, got \("):
            use(images)


@pytest.mark.parametrize("routes", [[0], [0, 3], [-1, 0]])
def test_routes_that_do_not_exist_are_refused(net, routes):
    with pytest.raises(ValueError, match=r"routes must be 2 numbers in \[0, 3\)"):
        net.run(random_images(2), np.array(routes))


def test_a_knob_that_is_no_finite_number_is_refused(net):
    with pytest.raises(KnobError, match="knob must be a finite number, got nan"):
        net.predict(random_images(2), float("nan"))


def test_a_picture_is_classified_without_torch_and_alike_from_path_and_memory(net, folder, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, folder, tmp_path / "a.png"], check=True)
    found = net.classify(tmp_path / "a.png", knob=1.0)
    assert found == net.classify(picture, knob=1.0)
    assert found.route == net.labels[0]
    assert found.cost == pytest.approx(net._route_macs[0] / net._plain_macs)
