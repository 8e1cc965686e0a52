import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.backbones import SMALL, SmallResNet, cifar_resnet, create_backbone
from modicum.classify.data.cifar import CifarImages
from modicum.classify.data.loading import Collate, image_samples
from modicum.datasets.loaders import ordered_loader
from modicum.datasets.preprocessing import Preprocessing
from modicum.storage.errors import RecipeError


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (32, 464_154), (56, 853_018)])
def test_cifar_resnets_have_the_published_size(depth, parameters):
    assert num_parameters(cifar_resnet(10, depth)) == parameters


def test_depth_counts_the_layers_with_weights():
    weights = [weight for weight in cifar_resnet(10, 20).parameters() if weight.ndim > 1]
    assert len(weights) == 20


@pytest.mark.parametrize("depth", [2, 18, 21, 0])
def test_impossible_depth_is_refused(depth):
    with pytest.raises(ValueError, match=rf"the depth of a CIFAR ResNet is 6n \+ 2 \(8, 20, 32, ...\), got {depth}"):
        cifar_resnet(10, depth)


@pytest.mark.parametrize("side", [8, 31, 48])
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_take_images_of_any_size(name, side):
    assert create_backbone(name, 7).eval()(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_shortcut_is_the_subsampled_input_between_zero_channels():
    block = SmallResNet(10, widths=(4, 8)).layers[1][0].eval()
    torch.nn.init.zeros_(block.bn2.weight)  # leaves the shortcut alone
    features = torch.rand(1, 4, 5, 5)
    output = block(features)
    assert torch.equal(output[:, 2:6], features[:, :, ::2, ::2])
    assert output[:, [0, 1, 6, 7]].abs().sum() == 0


def test_pooling_shortcut_is_the_mean_of_windows_before_zero_channels():
    block = SmallResNet(10, widths=(4, 8), shortcut="pool").layers[1][0].eval()
    torch.nn.init.zeros_(block.bn2.weight)
    features = torch.rand(1, 4, 5, 5)
    output = block(features)
    assert torch.allclose(output[:, :4, 0, 0], features[:, :, :2, :2].mean((2, 3)))
    assert torch.equal(output[:, :4, 2, 2], features[:, :, 4, 4])  # the window over the edge holds one pixel
    assert output[:, 4:].abs().sum() == 0


@pytest.mark.parametrize("shortcut", ["subsample", "pool"])
def test_shortcuts_have_no_parameters_and_are_modules(shortcut):
    layers = SmallResNet(10, blocks=2, shortcut=shortcut).layers
    assert [type(block.shortcut).__name__ == "Identity" for stage in layers for block in stage] == [
        *(True, True),
        *(False, True),
        *(False, True),
    ]
    assert not any("shortcut" in name for name in layers.state_dict())


@pytest.mark.parametrize("depth", [8, 32])
def test_both_shortcuts_take_the_same_weights(depth):
    pooling, subsampling = create_backbone(f"cifar_resnet{depth}_pool", 10), cifar_resnet(10, depth)
    assert list(pooling.state_dict()) == list(subsampling.state_dict())
    assert num_parameters(pooling) == num_parameters(subsampling)


def test_slim_networks_are_half_as_wide():
    network = create_backbone("slim_resnet32_pool", 10)
    assert network.linear.in_features == 32
    assert sum(len(stage) for stage in network.layers) == 15


@pytest.mark.parametrize(
    ("name", "module"), [("resnet18", "torchvision"), ("mobilenet_v2", "torchvision"), ("regnety_002", "timm")]
)
def test_other_networks_come_by_name(name, module):
    network = create_backbone(name, 7)
    assert type(network).__module__.startswith(module)
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit_resnt", "did you mean digit_resnet"),
        ("resnet51", "did you mean resnet5"),
        ("qqq", r"see torchvision\.models"),
    ],
)
def test_unknown_name_gets_a_suggestion(name, hint):
    with pytest.raises(RecipeError, match=f"backbone '{name}' is not known: {hint}"):
        create_backbone(name, 10)


def our_name(name):
    """``layer2.0.conv1.weight`` as ``layers.1.0.conv1.weight``."""
    if not name.startswith("layer"):
        return name
    return f"layers.{int(name[5]) - 1}{name[6:]}"


@pytest.mark.data
def test_published_cifar_weights_reach_their_accuracy(real_data):
    network = cifar_resnet(10, 20).eval()
    state = load_file(real_data / "cifar10_resnets" / "resnet20.safetensors")
    network.load_state_dict({our_name(name): value for name, value in state.items()})
    source = CifarImages(real_data / "cifar10")
    test = [index for index, record in enumerate(source.records) if record.split == "test"][:1000]
    preprocessing = Preprocessing(32, 32)  # normalises with the figures of ImageNet, as these weights want it
    images = image_samples(source, test, preprocessing.eval_transform())
    loader = ordered_loader(images, Collate(preprocessing), batch_size=250)
    with torch.inference_mode():
        hits = torch.cat([network(batch.images).argmax(1) == batch.labels for batch in loader])
    assert len(hits) == 1000
    assert hits.double().mean() == pytest.approx(0.915, abs=0.003)  # rounding may turn a few of 1,000
