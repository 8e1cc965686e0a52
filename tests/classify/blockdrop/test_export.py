import copy
import json
import shutil

import numpy as np
import pytest
import torch
from timm.layers import ConvNormAct
from timm.models.regnet import Bottleneck
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop import export as blockdrop_export
from modicum.classify.blockdrop.export import check_export, export_blockdrop
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.runner import OnnxBlockDrop
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Stated

CALIBRATION = {"target": 2.0e6, "unit": "MAC", "knob": 0.01, "achieved": 1.9e6}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def preprocessing(side):
    return {"size": side, "resize_short": side + 8, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "flip": True}


def build(backbone, side, policy="small", **options):
    """A network whose normalisations have seen data, so that folding them matters."""
    torch.manual_seed(0)
    network = BlockDrop(backbone, num_classes=10, image_px=side, policy=policy, **options).train()
    images = torch.randn(16, 3, side, side) * 2
    with torch.no_grad():
        for _ in range(5):
            network.backbone(images)
            network.scores(images)
    return network


def export(network, folder, *, frequent=None, **changes):
    options = {
        "preprocessing": preprocessing(network.image_px),
        "classes": [f"class {number}" for number in range(10)],
        "knob": 0.01,
        "calibration": CALIBRATION,
    }
    return export_blockdrop(network, folder, Stated(**(options | changes)), frequent=frequent)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    network = build(SmallResNet(10, widths=(4, 8), shortcut="pool"), 16, price=0.02)
    before = copy.deepcopy(network.state_dict())
    folder = export(network, tmp_path_factory.mktemp("tiny") / "export", frequent=torch.tensor([[True, False]] * 2))
    return network, before, folder


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """In half precision, with blocks of timm's whose BatchNorms have activations built in."""
    stem, head = ConvNormAct(3, 8, stride=2), [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
    backbone = nn.Sequential(stem, *(Bottleneck(8, 8, group_size=4, downsample="conv1x1") for _ in range(3)), *head)
    network = build(backbone, 16).eval().bfloat16()
    return network, export(network, tmp_path_factory.mktemp("half") / "export")


def test_a_backbone_of_torchvision_answers_alike(tmp_path):
    network = build(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10), 32)
    folder = export(network, tmp_path / "export")
    assert check_export(network.eval(), folder) < 1e-5  # measured 1e-6; export itself allows 1e-4


def test_a_backbone_of_timm_with_built_in_activations_answers_alike(half):
    network, folder = half
    assert check_export(copy.deepcopy(network).float(), folder) < 1e-5


@pytest.mark.parametrize("num_images", [1, 3, 7])
def test_any_batch_size_answers_alike(tiny, num_images):
    network, _, folder = tiny
    generator = torch.Generator().manual_seed(num_images)
    images = torch.randn(num_images, 3, 16, 16, generator=generator)
    keep = torch.rand(num_images, 2, generator=generator) < 0.5
    found = OnnxBlockDrop(folder, threads=1).run(images.numpy(), keep.numpy())
    with torch.inference_mode():
        expected = copy.deepcopy(network).eval().run(images, keep)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("knob", [-1.0, 0.0, 0.01, 1.0])
def test_decisions_and_costs_are_those_of_the_network(tiny, knob):
    network, _, folder = tiny
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = OnnxBlockDrop(folder, threads=1).predict(images.numpy(), knob)
    with torch.inference_mode():
        expected = copy.deepcopy(network).eval().predict(images, knob)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_the_network_stays_in_its_mode_with_its_weights(tiny):
    network, before, _ = tiny
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_half_precision_and_evaluation_mode_stay(half):
    network, _ = half
    assert not any(module.training for module in network.modules())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}


def test_the_folder_holds_a_graph_for_each_thing_that_can_run(tiny):
    names = {path.name for path in tiny[2].glob("[!.]*")}
    always = {"policy.onnx", "stem.onnx", "after_block_1.onnx", "manifest.json"}
    assert names == always | {"block_0.onnx", "block_1.onnx", "shortcut_1.onnx", "path_0.onnx"}


def test_the_manifest_states_what_a_port_needs(tiny):
    network, _, folder = tiny
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["steps"] == [
        {"graph": "stem", "unit": None, "shortcut": None},
        {"graph": "block_0", "unit": 0, "shortcut": None},
        {"graph": "block_1", "unit": 1, "shortcut": "shortcut_1"},
        {"graph": "after_block_1", "unit": None, "shortcut": None},
    ]
    assert details["frequent"] == [{"graph": "path_0", "kept": [0]}]
    assert details["decision"]["thresholds"] == network.policy.thresholds.tolist()
    assert details["costs"] == {
        "per_unit": list(network.costs.per_unit),
        "floor": network.costs.floor,
        "decision": network.costs.decision,
        "unit": "MAC",
    }
    assert details["preprocessing"].keys() == {"size", "resize_short", "mean", "std", "interpolation"}
    assert (details["knob"], details["calibration"]) == (0.01, CALIBRATION)


def test_an_export_that_answers_differently_leaves_no_folder(tiny, tmp_path, monkeypatch):
    network, _, folder = tiny
    details = json.loads((folder / "manifest.json").read_text())["details"]

    def write_others(_, new):
        shutil.copytree(folder, new, dirs_exist_ok=True)
        return dict(read_manifest(folder, system="blockdrop").graphs), details["steps"]

    changed = copy.deepcopy(network)
    nn.init.normal_(changed.backbone.linear.weight)
    monkeypatch.setattr(blockdrop_export, "_write_chain", write_others)
    with pytest.raises(ExportError, match=r"output 'logits.*' .* differs by .* more than 0\.0001"):
        export(changed, tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["one"]}, "classes must name the network's 10 classes, got 1 names"),
        ({"preprocessing": preprocessing(32)}, "preprocessing must give images of 16 px, not 32"),
        ({"preprocessing": {"size": 16}}, "lacks mean, resize_short, std"),
        ({"knob": float("nan")}, "knob must be a finite number, got nan"),
        (
            {"frequent": torch.ones(1, 3, dtype=torch.bool)},
            r"frequent must be keep-vectors \(F, 2\) bool, got \(1, 3\)",
        ),
        ({"frequent": torch.ones(1, 2)}, r"frequent must be keep-vectors \(F, 2\) bool, got \(1, 2\) torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused(tiny, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        export(tiny[0], tmp_path / "export", **changes)
    assert not list(tmp_path.iterdir())


class Reaching(nn.Module):
    """A residual network whose head reads the stem's features beside those of the last block."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block = BasicBlock(4, 4)
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        features = self.stem(images)
        return self.head((self.block(features) * features).mean((2, 3)))


def test_a_backbone_that_is_no_chain_is_refused_and_leaves_no_folder(tmp_path):
    network = build(Reaching(), 16)
    with pytest.raises(ExportError, match="backbone Reaching cannot be cut at its blocks: mul reads stem, past block"):
        export(network, tmp_path / "export")
    assert not list(tmp_path.iterdir())
