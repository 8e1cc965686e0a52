import logging

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from modicum.classify.backbones import SMALL, create_backbone
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.data.cifar import CifarImages
from modicum.classify.data.loading import Collate, image_samples
from modicum.classify.pretrained import our_name, read_start, with_format_of
from modicum.classify.recipe import ImageOptions
from modicum.datasets.loaders import ordered_loader
from modicum.datasets.preprocessing import Preprocessing
from modicum.storage.errors import RecipeError, WeightsError


def usual_name(name):
    stage, _, rest = name.removeprefix("layers.").partition(".")
    return f"layer{int(stage) + 1}.{rest}" if name.startswith("layers.") else name


@pytest.fixture
def published(tmp_path):
    """Another network's weights in the usual layout, without counters of batches, and their file."""
    torch.manual_seed(2)
    state = create_backbone("cifar_resnet8", 10).state_dict()
    state = {usual_name(name): value for name, value in state.items() if "num_batches" not in name}
    save_file(state, tmp_path / "weights.safetensors")
    return state, str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("layer2.0.conv1.weight", "layers.1.0.conv1.weight"),
        ("layer3.11.bn2.running_var", "layers.2.11.bn2.running_var"),
        ("linear.bias", "linear.bias"),
        ("layers.0.0.bn1.bias", "layers.0.0.bn1.bias"),
        ("layernorm.weight", "layernorm.weight"),
    ],
)
def test_names_of_the_usual_layout_are_translated(name, ours):
    assert our_name(name) == ours


@pytest.mark.parametrize("backbone", ["cifar_resnet8", "cifar_resnet8_pool"])
def test_cifar_resnet_in_the_usual_layout_fills_both_kinds_of_shortcut(published, backbone):
    state, file = published
    start = read_start(backbone, file)
    filled = start.create(10).state_dict()
    assert all(torch.equal(filled[our_name(name)], value) for name, value in state.items())
    assert start.is_trained(10)
    assert not start.is_trained(7)
    assert start.create(7).linear.out_features == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bn1.bias"), "1 missing: bn1.bias"),
        (lambda state: state.update(fc=torch.zeros(1)), "1 unknown: fc"),
        (
            lambda state: [state.pop(name) for name in list(state) if name.startswith("layer3")],
            r"10 missing: layers\.2\.0\.conv1\.weight, .*, \.\.\.",
        ),
    ],
)
def test_misfits_are_told_when_the_weights_are_read(published, change, message, tmp_path):
    state, _ = published
    change(state)
    save_file(state, tmp_path / "changed.safetensors")
    with pytest.raises(WeightsError, match=rf"changed\.safetensors does not fit cifar_resnet8: {message}"):
        read_start("cifar_resnet8", str(tmp_path / "changed.safetensors"))


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_have_no_published_weights(name):
    with pytest.raises(
        RecipeError, match=f"there are no published weights of {name}; leave weights out, or give a file"
    ):
        read_start(name, "published")


def test_unknown_backbone_is_named_before_its_weights_are_looked_for():
    with pytest.raises(RecipeError, match="backbone 'resnet19' is not known"):
        read_start("resnet19", "missing.safetensors")


@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("mobilenet_v2", "classifier.1")])
def test_published_network_gets_a_head_for_other_classes_and_keeps_its_own(no_hub, name, head):
    start = read_start(name, "published")
    assert start.create(7).get_submodule(head).out_features == 7
    assert str(start.head(7)) == "new head for 7 classes, the weights have 1000"
    assert start.is_trained(1000)


@pytest.fixture
def timm_file(tmp_path):
    """Function that writes the untrained state of a network of timm, and returns the file."""

    def write(name):
        torch.manual_seed(1)
        save_file(timm.create_model(name).state_dict(), tmp_path / f"{name}.safetensors")
        return str(tmp_path / f"{name}.safetensors")

    return write


def test_images_are_prepared_as_the_weights_were_trained(timm_file):
    start = read_start("tf_efficientnet_lite0", timm_file("tf_efficientnet_lite0"))
    options = with_format_of([start], ImageOptions().settled(96, "photos", "lite0"), 96)
    assert options.mean == options.std == (0.5, 0.5, 0.5)
    assert (options.interpolation, options.resize_short) == ("bicubic", round(96 * 256 / 224))


def test_stated_figures_that_contradict_the_weights_are_kept_and_told(timm_file, caplog):
    start = read_start("tf_efficientnet_lite0", timm_file("tf_efficientnet_lite0"))
    stated = ImageOptions(mean=(0.485, 0.456, 0.406), std=(0.5, 0.5, 0.5)).settled(96, "photos", "lite0")
    with caplog.at_level(logging.WARNING):
        options = with_format_of([start], stated, 96)
    assert options.mean == (0.485, 0.456, 0.406)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(
        "images.mean is (0.485, 0.456, 0.406), but the weights of tf_efficientnet_lite0 were trained"
    )


def test_members_whose_weights_want_different_images_need_a_statement(timm_file, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    starts = [
        read_start("tf_efficientnet_lite0", timm_file("tf_efficientnet_lite0")),
        read_start("resnet18", str(tmp_path / "resnet18.pth")),
    ]
    with pytest.raises(RecipeError, match=r"images\.mean must be stated: the weights of tf_efficientnet_lite0 were"):
        with_format_of(starts, ImageOptions(), 96)
    stated = ImageOptions(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    assert with_format_of(starts, stated, 96).mean == (0.5, 0.5, 0.5)


def test_without_weights_images_are_normalised_as_usual():
    options = ImageOptions().settled(96, "photos")
    assert (options.mean, options.interpolation) == ((0.485, 0.456, 0.406), "bilinear")
    assert with_format_of([read_start("digit_resnet", None)], options, 96) == options


@pytest.mark.data
@pytest.mark.parametrize(("name", "accuracy"), [("resnet20", 0.91), ("resnet32", 0.92)])
def test_published_weights_reach_their_accuracy_with_all_blocks_kept(real_data, name, accuracy):
    start = read_start(f"cifar_{name}", str(real_data / "cifar10_resnets" / f"{name}.safetensors"))
    assert start.is_trained(10)
    network = BlockDrop(start.create(10), num_classes=10).eval()
    source = CifarImages(real_data / "cifar10")
    test = [index for index, record in enumerate(source.records) if record.split == "test"][:1000]
    preprocessing = Preprocessing(32, 32)  # normalises with the figures of ImageNet, as these weights want it
    images = image_samples(source, test, preprocessing.eval_transform())
    loader = ordered_loader(images, Collate(preprocessing), batch_size=250)
    keep = torch.ones(250, len(network.blocks), dtype=torch.bool)
    with torch.inference_mode():
        hits = torch.cat([network.run(batch.images, keep).argmax(1) == batch.labels for batch in loader])
    assert len(hits) == 1000
    assert hits.double().mean() >= accuracy
