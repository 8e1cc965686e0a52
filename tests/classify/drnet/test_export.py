import copy
import json
import shutil

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d, ConvNormAct
from timm.models.regnet import Bottleneck
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from modicum.classify.drnet import export as drnet_export
from modicum.classify.drnet.export import check_export, export_drnet
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.predictors import small_predictor
from modicum.classify.drnet.runner import OnnxDRNet
from modicum.exporting import ExportError, read_manifest
from modicum.exporting.writing import Stated, Written

CALIBRATION = {"target": 2.0e6, "unit": "MAC", "knob": 0.25, "achieved": 1.9e6}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def preprocessing(side):
    return {"size": side, "resize_short": side + 8, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "flip": True}


def build(backbone, resolutions, **options):
    """A network whose normalisations differ between resolutions and whose predictor uses every route."""
    torch.manual_seed(0)
    predictor = small_predictor(len(resolutions), resolutions[0] // 2)
    network = DRNet(backbone, num_classes=10, resolutions=resolutions, predictor=predictor, **options)
    network.train()
    images = torch.randn(16, 3, resolutions[0], resolutions[0])
    for _ in range(5):
        network.every_resolution(images * 2)
        network.scores(images * 2)
    return network


def export(network, folder, **changes):
    options = {
        "preprocessing": preprocessing(network.resolutions[0]),
        "classes": [f"class {number}" for number in range(10)],
        "knob": 0.25,
        "calibration": CALIBRATION,
    }
    return export_drnet(network, folder, Stated(**(options | changes)))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    network = build("digit_resnet", (32, 16))
    before = copy.deepcopy(network.state_dict())
    folder = export(network, tmp_path_factory.mktemp("digits") / "export")
    return network, before, folder


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """In half precision, around a short network of timm's parts whose BatchNorms have activations built in."""
    block, head = Bottleneck(8, 8, group_size=4, se_ratio=0.25), [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    backbone = nn.Sequential(ConvNormAct(3, 8, stride=2), block, *head, nn.Linear(8, 10))
    assert any(isinstance(module, BatchNormAct2d) for module in backbone.modules())
    network = build(backbone, (64, 32), kernel="bilinear").eval().bfloat16()
    return network, export(network, tmp_path_factory.mktemp("half") / "export")


def test_a_backbone_of_torchvision_answers_alike(tmp_path):
    network = build(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10), (48, 32))
    folder = export(network, tmp_path / "export")
    assert check_export(network.eval(), folder) < 1e-5  # measured 1e-6; export itself allows 1e-4


def test_a_backbone_of_timm_with_built_in_activations_answers_alike(half):
    network, folder = half
    assert check_export(copy.deepcopy(network).float(), folder) < 1e-5


@pytest.mark.parametrize("num_images", [1, 3, 7])
def test_any_batch_size_answers_alike(digits, num_images):
    network, _, folder = digits
    images = torch.randn(num_images, 3, 32, 32, generator=torch.Generator().manual_seed(num_images))
    found = OnnxDRNet(folder, threads=1).predict(images.numpy(), knob=0.0)
    with torch.inference_mode():
        expected = copy.deepcopy(network).eval().predict(images, 0.0)
    np.testing.assert_array_equal(found.routes, expected.routes.numpy())
    np.testing.assert_allclose(found.logits, expected.outputs.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found.macs, expected.macs.numpy())


def test_the_network_stays_in_its_mode_with_its_weights(digits):
    network, before, _ = digits
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_half_precision_and_evaluation_mode_stay(half):
    network, _ = half
    assert not any(module.training for module in network.modules())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}


def test_the_folder_holds_one_graph_per_resolution_and_the_predictor(digits):
    names = {path.name for path in digits[2].glob("[!.]*")}
    assert names == {"predictor.onnx", "backbone_32.onnx", "backbone_16.onnx", "manifest.json"}


def test_the_manifest_states_what_a_port_needs(digits):
    network, _, folder = digits
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["resolutions"] == [32, 16]
    assert details["kernel"] == "antialiased"
    assert details["preprocessing"].keys() == {"size", "resize_short", "mean", "std", "interpolation"}
    assert details["decision"]["relative_costs"] == network.policy.relative_costs.tolist()
    assert details["costs"]["per_route"] == list(network.costs.per_route)
    assert (details["knob"], details["calibration"]) == (0.25, CALIBRATION)


def test_an_export_that_answers_differently_leaves_no_folder(digits, tmp_path, monkeypatch):
    network, _, folder = digits

    def write_others(_, new):
        shutil.copytree(folder, new, dirs_exist_ok=True)
        return Written(dict(read_manifest(folder, system="drnet").graphs), {})

    changed = copy.deepcopy(network)
    nn.init.normal_(changed.backbone.linear.weight)
    monkeypatch.setattr(drnet_export, "_write_graphs", write_others)
    with pytest.raises(ExportError, match=r"output 'logits' .* differs by .* more than 0\.0001"):
        export(changed, tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["one"]}, "classes must name the network's 10 classes, got 1 names"),
        ({"preprocessing": preprocessing(48)}, "must give images of 32 px, not 48"),
        ({"preprocessing": {"size": 32}}, "lacks mean, resize_short, std"),
        ({"knob": float("nan")}, "knob must be a finite number, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(digits, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        export(digits[0], tmp_path / "export", **changes)
