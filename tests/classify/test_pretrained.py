import pytest
import torch
from safetensors.torch import save_file

from modicum.classify.backbones import create_backbone
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.data.cifar import CifarImages
from modicum.classify.data.loading import Collate, image_samples
from modicum.classify.pretrained import load_cifar_weights, our_name
from modicum.datasets.loaders import ordered_loader
from modicum.datasets.preprocessing import Preprocessing
from modicum.storage.errors import WeightsError


def usual_name(name):
    stage, _, rest = name.removeprefix("layers.").partition(".")
    return f"layer{int(stage) + 1}.{rest}" if name.startswith("layers.") else name


@pytest.fixture
def network():
    torch.manual_seed(1)
    return create_backbone("cifar_resnet8", 10)


@pytest.fixture
def published():
    """Another network's weights in the usual layout, without counters of batches."""
    torch.manual_seed(2)
    state = create_backbone("cifar_resnet8", 10).state_dict()
    return {usual_name(name): value for name, value in state.items() if "num_batches" not in name}


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


def test_file_and_state_give_the_same_network(network, published, tmp_path):
    save_file(published, tmp_path / "weights.safetensors")
    load_cifar_weights(network, tmp_path / "weights.safetensors")
    for name, value in published.items():
        assert torch.equal(network.state_dict()[our_name(name)], value)
    again = create_backbone("cifar_resnet8_pool", 10)
    load_cifar_weights(again, published)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bn1.bias"), "1 missing: bn1.bias"),
        (lambda state: state.update(fc=torch.zeros(1)), "1 unknown: fc"),
        (
            lambda state: state.update({"linear.weight": torch.zeros(100, 64)}),
            r"1 of wrong shape: linear.weight found \(100, 64\), expected \(10, 64\)",
        ),
        (
            lambda state: [state.pop(name) for name in list(state) if name.startswith("layer3")],
            r"10 missing: layers\.2\.0\.conv1\.weight, .*, \.\.\.",
        ),
    ],
)
def test_misfits_are_told_and_change_nothing(network, published, change, message):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    change(published)
    with pytest.raises(WeightsError, match=rf"the state does not fit this CIFAR ResNet: {message}.*of the same depth"):
        load_cifar_weights(network, published)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_missing_and_damaged_files_are_refused(network, published, tmp_path):
    file = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError, match="does not exist"):
        load_cifar_weights(network, file)
    save_file(published, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is truncated"):
        load_cifar_weights(network, file)
    torch.save(published, file)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load_cifar_weights(network, file)


@pytest.mark.data
def test_published_weights_reach_their_accuracy_with_all_blocks_kept(real_data):
    backbone = create_backbone("cifar_resnet20", 10)
    load_cifar_weights(backbone, real_data / "cifar10_resnets" / "resnet20.safetensors")
    network = BlockDrop(backbone, num_classes=10).eval()
    source = CifarImages(real_data / "cifar10")
    test = [index for index, record in enumerate(source.records) if record.split == "test"][:1000]
    preprocessing = Preprocessing(32, 32)  # normalises with the figures of ImageNet, as these weights want it
    images = image_samples(source, test, preprocessing.eval_transform())
    loader = ordered_loader(images, Collate(preprocessing), batch_size=250)
    keep = torch.ones(250, 9, dtype=torch.bool)
    with torch.inference_mode():
        hits = torch.cat([network.run(batch.images, keep).argmax(1) == batch.labels for batch in loader])
    assert len(hits) == 1000
    assert hits.double().mean() >= 0.91
