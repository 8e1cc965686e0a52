import pytest
import timm
import torch
from torch.testing import assert_close

from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.true_pixels import TruePixels
from modicum.storage.weights import load_network, save_network


def test_true_pixels_normalises_and_pads_and_changes_no_size():
    transform = TruePixels((0.5, 0.25, 0.0), (0.5, 1.0, 2.0), 32)
    image = torch.rand(3, 20, 40)
    batch, targets = transform([image, image], [{"boxes": torch.zeros(0, 4)}] * 2)
    assert batch.tensors.shape == (2, 3, 32, 64)
    assert batch.image_sizes == [(20, 40), (20, 40)]
    expected = (image - torch.tensor([0.5, 0.25, 0.0])[:, None, None]) / torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    assert_close(batch.tensors[0, :, :20, :40], expected)
    assert batch.tensors[0, :, 20:].abs().sum() == batch.tensors[0, :, :, 40:].abs().sum() == 0
    assert len(targets) == 2
    assert transform([image[:, :32, :32][:, :20, :32]])[0].tensors.shape == (1, 3, 32, 32)


def test_images_of_several_sizes_in_one_call_are_refused():
    with pytest.raises(ValueError, match="all pictures of a call must have one size"):
        TruePixels((0, 0, 0), (1, 1, 1), 32)([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)])


def test_light_detector_has_360_thousand_parameters_and_levels_of_stride_8_and_16():
    network = LightFCOS(["car"])
    assert sum(weight.numel() for weight in network.parameters()) == 360_278
    levels = network.fcos.backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels.values()] == [(1, 64, 8, 12), (1, 64, 4, 6)]


def test_lite_trunk_reads_what_timm_computes_at_strides_8_and_16():
    network = LightFCOS(["car"], trunk="tf_efficientnet_lite0").eval()
    images = torch.rand(1, 3, 64, 96)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    own = network.fcos.backbone.network
    own.load_state_dict({name: whole.state_dict()[name] for name in own.state_dict()})
    expected = [whole.forward_intermediates(images, intermediates_only=True)[place] for place in (2, 3)]
    for found, wanted in zip(own(images), expected, strict=True):
        assert_close(found, wanted)
    assert [tuple(level.shape) for level in network.fcos.backbone(images).values()] == [(1, 64, 8, 12), (1, 64, 4, 6)]


@pytest.mark.parametrize("trunk", ["small", "tf_efficientnet_lite0"])
def test_stored_detector_is_built_again_with_its_classes(tmp_path, trunk):
    network = LightFCOS(["car", "bus"], trunk=trunk).eval()
    save_network(tmp_path / "a.safetensors", network)
    loaded = load_network(tmp_path / "a.safetensors", {"light_fcos": LightFCOS})
    assert loaded.classes == ("car", "bus")
    image = torch.randint(0, 256, (3, 64, 80), dtype=torch.uint8)
    first, second = (TorchvisionDetector(each.fcos, each.classes).detect([image])[0] for each in (network, loaded))
    assert torch.equal(first.scores, second.scores)


def test_losses_are_those_of_torchvision():
    torch.manual_seed(0)
    network = LightFCOS(["car", "bus"])
    images = torch.rand(2, 3, 64, 64)
    boxes, labels = (
        [torch.tensor([[4.0, 4.0, 40.0, 30.0]]), torch.zeros(0, 4)],
        [torch.tensor([1]), torch.zeros(0).long()],
    )
    targets = [{"boxes": b, "labels": k} for b, k in zip(boxes, labels, strict=True)]
    expected = network.fcos(list(images), targets)
    found = network.losses(images, boxes, labels)
    assert set(found) == {"classification", "bbox_regression", "bbox_ctrness"}
    for name, loss in expected.items():
        assert_close(found[name], loss)


def test_batch_without_any_object_has_a_finite_loss():
    network = LightFCOS(["car"])
    nothing = network.losses(torch.rand(2, 3, 64, 64), [torch.zeros(0, 4)] * 2, [torch.zeros(0).long()] * 2)
    total = sum(nothing.values())
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters() if weight.grad is not None)


def test_losses_in_evaluation_mode_leave_running_statistics_alone():
    network = LightFCOS(["car"]).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.losses(torch.rand(2, 3, 64, 64), [torch.tensor([[1.0, 1.0, 30.0, 30.0]])] * 2, [torch.tensor([0])] * 2)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": []}, "classes must name at least one"),
        ({"classes": ["a"], "trunk": "big"}, "trunk must be one of small"),
    ],
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LightFCOS(**options)
