import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.adaptive.knobs import KnobError
from modicum.classify.drnet.export import export_drnet
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.runner import OnnxDRNet
from modicum.exporting import ExportError
from modicum.exporting.writing import Stated
from modicum.storage.sealing import read_sealed, write_sealed

CLASSES = ("zero", "one", "two")

WITHOUT_TORCH = """
import sys
import numpy as np
from modicum.classify.drnet.runner import OnnxDRNet
net = OnnxDRNet(sys.argv[1], threads=1)
assert net.predict(np.zeros((2, 3, 32, 32), np.float32)).logits.shape == (2, 3)
assert net.classify(sys.argv[2]).predicted in ("zero", "one", "two")
assert not {"torch", "torchvision", "timm"} & set(sys.modules)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    network = DRNet("digit_resnet", num_classes=3, resolutions=(32, 16), predictor="small")
    return export_drnet(
        network,
        tmp_path_factory.mktemp("runner") / "export",
        Stated({"size": 32, "resize_short": 36, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}, CLASSES, knob=0.1),
    )


@pytest.fixture
def net(folder):
    return OnnxDRNet(folder, threads=1)


@pytest.fixture
def calls(net, monkeypatch):
    """The sizes of the batches that each resolution's graph gets, in order."""
    calls = []

    def spy(route, run):
        return lambda batch: calls.append((route, len(batch))) or run(batch)

    monkeypatch.setattr(net, "_backbones", [spy(route, run) for route, run in enumerate(net._backbones)])
    return calls


def random_images(num_images):
    return np.random.default_rng(0).standard_normal((num_images, 3, 32, 32)).astype(np.float32)


def random_picture(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_only_the_graphs_of_resolutions_that_occur_are_run(net, calls):
    net.run(random_images(3), np.array([1, 1, 1]))
    assert calls == [(1, 3)]


def test_each_graph_gets_its_group_once(net, calls):
    net.run(random_images(5), np.array([1, 0, 1, 1, 0]))
    assert calls == [(0, 2), (1, 3)]


def test_a_mixed_batch_equals_its_images_one_by_one(net):
    images, routes = random_images(5), np.array([1, 0, 1, 1, 0])
    single = [net.run(images[row : row + 1], routes[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(net.run(images, routes), np.stack(single), atol=1e-5)


def test_an_empty_batch_runs_nothing(net, calls):
    result = net.predict(random_images(0))
    assert (result.logits.shape, result.routes.shape, result.macs.shape, calls) == ((0, 3), (0,), (0,), [])


def test_the_knob_of_the_export_is_the_default(net):
    images = random_images(8)
    np.testing.assert_array_equal(net.predict(images).routes, net.predict(images, knob=0.1).routes)


def test_a_high_knob_takes_the_cheapest_route_and_states_its_cost(net):
    result = net.predict(random_images(4), knob=1e6)
    assert result.routes.tolist() == [1] * 4
    assert result.macs.tolist() == [net._route_macs[1] + net._decision_macs] * 4


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 16, 16), np.float32), np.zeros((3, 32, 32), np.float32), np.zeros((2, 3, 32, 32))]
)
def test_other_shapes_and_types_are_refused(net, images):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\) float32, normalised, got \("):
        net.predict(images)


@pytest.mark.parametrize("routes", [[0], [0, 2], [-1, 0]])
def test_routes_that_do_not_exist_are_refused(net, routes):
    with pytest.raises(ValueError, match=r"routes must be 2 numbers in \[0, 2\)"):
        net.run(random_images(2), np.array(routes))


def test_a_changed_graph_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "backbone_16.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match=r"backbone_16\.onnx is not what was exported"):
        OnnxDRNet(tmp_path)


def test_a_manifest_without_classes_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = read_sealed(tmp_path / "manifest.json", remedy="")
    del content["details"]["classes"]
    write_sealed(tmp_path / "manifest.json", content)
    with pytest.raises(ExportError, match="does not state classes"):
        OnnxDRNet(tmp_path)


def test_torch_is_not_imported(folder, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, folder, tmp_path / "a.png"], check=True)


def test_a_picture_is_classified_alike_from_path_and_memory(net, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    found = net.classify(tmp_path / "a.png", knob=1e6)
    assert found == net.classify(random_picture(50, 40), knob=1e6)
    assert found.predicted in CLASSES
    assert 1 / 3 <= found.probability <= 1
    assert found.route == "16 px"
    assert 0 < found.cost < 1


@pytest.mark.parametrize("knob", [float("inf"), float("-inf"), float("nan")])
def test_a_knob_that_is_no_finite_number_is_refused(net, knob):
    images = np.zeros((3, 3, 32, 32), np.float32)
    for use in (
        lambda: net.decide(net.scores(images), knob),
        lambda: net.predict(images, knob),
        lambda: net.classify(Image.new("RGB", (32, 32)), knob),
    ):
        with pytest.raises(KnobError, match=f"knob must be a finite number, got {knob}"):
            use()
