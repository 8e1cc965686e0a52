import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from written_graphs import write_graph

from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.exits import FrozenTable
from modicum.classify.cascade.export import check_export, export_cascade
from modicum.classify.cascade.members import Member, MemberCascade, common_format, create_member
from modicum.classify.cascade.onnx_member import read_onnx
from modicum.classify.cascade.runner import OnnxCascade
from modicum.classify.classifier_builders import classifier_builder
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Stated
from modicum.nn.pretrained import ImageFormat

pytest.importorskip("onnxruntime", reason="the export extra is not installed")

SMALL = ImageFormat((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 16, 16, "bilinear")
MIDDLE = ImageFormat((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 24, 26, "bilinear")
LARGE = ImageFormat((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32, 36, "bicubic")
CLASSES = [f"class {number}" for number in range(5)]
WITHOUT_TORCH = """
import sys
import numpy as np
from modicum.classify.cascade.runner import OnnxCascade
net = OnnxCascade(sys.argv[1], threads=1)
assert net.predict(np.zeros((2, 3, 36, 36), np.float32)).logits.shape == (2, 5)
assert net.classify(sys.argv[2]).predicted.startswith("class ")
assert not {"torch", "torchvision", "timm", "sklearn"} & set(sys.modules)
"""


def stated(network, knob=0.5):
    images = network.images
    preprocessing = {"size": images.size_px, "resize_short": images.short_px, "mean": images.mean, "std": images.std}
    return Stated({**preprocessing, "interpolation": images.interpolation}, CLASSES, knob)


def random_images(network, count=9):
    side = network.image_px
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def build(networks, formats, **options):
    """A cascade of networks of rising cost whose thresholds let some images leave at every step at knob 0.5."""
    names = [f"net{number}" for number in range(len(networks))]
    columns = zip(names, formats, strict=True)
    members = [Member(name, 10.0 * 2**place, images, {}).to_json() for place, (name, images) in enumerate(columns)]
    network = MemberCascade(
        members, num_classes=5, images=common_format(formats).to_json(), networks=networks, **options
    ).eval()
    network.temperatures = FrozenTable(torch.tensor([0.7, 1.5, 0.9])[: len(networks)])
    sure = network.scores(random_images(network))[:, :-1]
    network.policy = NestedThresholds(
        torch.stack([torch.full_like(sure[0], 2.0), sure.quantile(0.6, dim=0), sure[0] * 0])
    )
    return network.requires_grad_(False)


def trained(name):
    """A network of random weights, with batch statistics and a head that make answers differ."""
    torch.manual_seed(0)
    network = create_member(None, name, 5)
    for _ in range(2):
        network.train()(torch.randn(16, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Networks of PyTorch before and behind a graph of probabilities, each with images of its own."""
    file = write_graph(tmp_path_factory.mktemp("graphs") / "a.onnx", side=24, classes=5, probabilities=True)
    return build([trained("cifar_resnet8"), read_onnx(Path(file)), trained("digit_resnet")], [SMALL, MIDDLE, LARGE])


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    return export_cascade(network, tmp_path_factory.mktemp("cascade") / "export", stated(network))


@pytest.fixture
def net(folder):
    return OnnxCascade(folder, threads=1)


def test_the_export_answers_alike(network, folder):
    assert check_export(network, folder) < 2e-5  # measured 3e-6; export itself allows 1e-4


@pytest.mark.parametrize("num_images", [1, 9])
@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_any_batch_size_and_knob_answer_alike(network, net, num_images, knob):
    images = random_images(network, num_images)
    found = net.predict(images.numpy(), knob)
    expected = network.predict(images, knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_images_leave_at_every_step(network, net):
    assert set(net.predict(random_images(network).numpy()).routes.tolist()) == {0, 1, 2}


def test_own_answers_are_exported_as_such(network, tmp_path):
    own = build([each[1] for each in network.networks], [SMALL, MIDDLE, LARGE], average=False)
    folder = export_cascade(own, tmp_path / "export", stated(own))
    assert not json.loads((folder / "manifest.json").read_text())["details"]["decision"]["average"]
    images = random_images(own)
    expected = own.predict(images, 0.5)
    found = OnnxCascade(folder, threads=1).predict(images.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-4, rtol=1e-4)


def test_image_as_sure_as_a_threshold_leaves(network, net):
    scores = net.scores(random_images(network).numpy())
    net.decision.rule.table = scores[:1, :2]
    assert net.decide(scores[:1]).tolist() == [0]
    net.decision.rule.table = np.nextafter(scores[:1, :2], np.float32(2))
    assert net.decide(scores[:1]).tolist() == [2]


def test_a_graph_is_exported_as_it_is_between_two_others(network, folder):
    graphs = read_manifest(folder, system="cascade").graphs
    assert {role: (graph.input_names, graph.output_names) for role, graph in graphs.items()} == {
        "step 1": (("images",), ("log_probabilities",)),
        "step 2 images": (("images",), ("seen",)),
        "step 2 network": (("x",), ("z",)),
        "step 2 answer": (("given",), ("log_probabilities",)),
        "step 3": (("images",), ("log_probabilities",)),
    }
    assert (folder / "step_2_network.onnx").read_bytes() == network.networks[1][1].file_content()
    assert graphs["step 2 network"].opset == 17


def test_the_manifest_names_members_and_routes(network, folder):
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["image_px"] == 36
    assert details["steps"] == [
        {"member": "net0", "size_px": 16},
        {"member": "net1", "size_px": 24},
        {"member": "net2", "size_px": 32},
    ]
    assert details["costs"]["labels"] == ["net0", "net0 + net1", "net0 + net1 + net2"]
    assert details["costs"]["per_route"] == [10.0, 30.0, 70.0]
    assert details["decision"]["thresholds"] == network.policy.table.values().tolist()
    assert details["decision"]["temperatures"] == pytest.approx([0.7, 1.5, 0.9])


def test_a_picture_is_classified_without_torch(net, folder, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, folder, tmp_path / "a.png"], check=True)
    assert net.classify(tmp_path / "a.png", knob=0.0).route == "net0 + net1 + net2"


def test_candidate_that_answers_alone_is_not_exported(tmp_path):
    parts, macs = [trained("cifar_resnet8"), trained("digit_resnet"), trained("cifar_resnet8")], (10.0, 20.0, 30.0)
    first, second, plain = (Member(f"net{n}", cost, SMALL, {}).to_json() for n, cost in enumerate(macs))
    network = MemberCascade([first, second], num_classes=5, images=SMALL.to_json(), plain=plain, networks=parts).eval()
    folder = export_cascade(network, tmp_path / "export", stated(network))
    assert set(read_manifest(folder, system="cascade").graphs) == {"step 1", "step 2"}
    assert OnnxCascade(folder)._plain_macs == 30.0


@pytest.mark.parametrize("options", [{"batch": 1}, {"half": True}, {"batch": 1, "half": True, "probabilities": True}])
def test_graphs_of_single_images_and_of_half_precision_answer_alike(options, tmp_path):
    cheap = read_onnx(Path(write_graph(tmp_path / "cheap.onnx", 0, 2, side=24, classes=5, **options)))
    network = build([cheap, trained("digit_resnet")], [MIDDLE, LARGE])
    folder = export_cascade(network, tmp_path / "export", stated(network))
    images = random_images(network)
    expected, found = network.predict(images, 0.5), OnnxCascade(folder, threads=1).predict(images.numpy())
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-4, rtol=1e-4)


def test_plain_network_of_a_run_that_resizes_by_itself_answers_alike(tmp_path):
    run = classifier_builder("drnet")(
        backbone="digit_resnet",
        num_classes=5,
        resolutions=(48, 32),
        predictor="resnet10",
        shortcut_norm="switched",
        kernel="antialiased",
    )
    network = build([trained("cifar_resnet8"), run.plain_network().eval()], [SMALL, LARGE])
    folder = export_cascade(network, tmp_path / "export", stated(network))
    assert check_export(network, folder) < 2e-5


class Undecided(nn.Module):
    """Asks about pixels in Python, which no graph can."""

    def forward(self, images):
        return images.flatten(1)[:, :5] * (1 if float(images.mean()) > 0 else 2)


def test_member_that_no_graph_can_express_is_named(tmp_path):
    network = build([trained("cifar_resnet8"), Undecided()], [SMALL, SMALL])
    with pytest.raises(ExportError, match="member net1: Sequential cannot be written as ONNX"):
        export_cascade(network, tmp_path / "export", stated(network))
    assert not (tmp_path / "export").exists()


def test_classes_and_images_that_do_not_fit_are_refused(network, tmp_path):
    given = stated(network)
    for change, message in (
        ({"classes": ["one"]}, "classes must name the network's 5 classes, got 1 names"),
        ({"preprocessing": {**given.preprocessing, "size": 32}}, "images of 36 px, not 32"),
    ):
        with pytest.raises(ValueError, match=message):
            export_cascade(network, tmp_path / "export", replace(given, **change))
