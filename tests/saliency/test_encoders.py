import pytest
import timm
import torch
from safetensors.torch import save_file

from modicum.nn.published import timm_file
from modicum.saliency.encoders import SmallEncoder, create_encoder, read_encoder_weights
from modicum.storage.errors import WeightsError

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(5)
    return timm.create_model(NAME).state_dict()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_timm_by_path_fill_the_encoder(tmp_path, state, suffix):
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    encoder = create_encoder(NAME, read_encoder_weights(NAME, str(file)))
    found = encoder.features.state_dict()
    for name in ("conv_stem.weight", "bn1.running_mean", "blocks.5.0.conv.weight"):
        torch.testing.assert_close(found[name], state[name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "tf_efficientnet_lite0"])
def test_every_level_of_the_encoder_gives_the_features_of_the_network_that_was_saved(name, tmp_path):
    torch.manual_seed(2)
    full = timm.create_model(name).eval()
    save_file(full.state_dict(), tmp_path / "weights.safetensors")
    encoder = create_encoder(name, read_encoder_weights(name, str(tmp_path / "weights.safetensors"))).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        levels = encoder(images)
        wanted = full.forward_intermediates(images, intermediates_only=True)
    for found, expected in zip(levels, wanted, strict=False):  # VGG's sixth level is not used
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_weights_that_a_user_put_where_published_ones_are_kept_are_taken_without_the_hub(tmp_path, state, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    timm_file(NAME).parent.mkdir(parents=True)
    save_file(state, timm_file(NAME))
    encoder = create_encoder(NAME, read_encoder_weights(NAME, "published"))
    found = encoder.features.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(found, state["conv_stem.weight"], rtol=0, atol=0)


def test_weights_of_another_model_are_refused(tmp_path, state):
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    with pytest.raises(WeightsError, match=r"weights\.pth does not fit resnet18: \d+ missing: conv1\.weight"):
        read_encoder_weights("resnet18", str(file))


def test_weights_that_lack_a_tensor_are_refused_by_its_name(tmp_path, state):
    file = tmp_path / "weights.pth"
    torch.save({name: value for name, value in state.items() if name != "conv_stem.weight"}, file)
    with pytest.raises(WeightsError, match=r"1 missing: conv_stem\.weight"):
        read_encoder_weights(NAME, str(file))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_damaged_weights_are_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        read_encoder_weights(NAME, str(file))


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        read_encoder_weights(NAME, str(tmp_path / "none.pth"))


def test_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="encoder 'resnet19' cannot be used"):
        create_encoder("resnet19")


def test_small_encoder_halves_the_size_from_level_to_level():
    sizes = [tuple(each.shape[1:]) for each in SmallEncoder()(torch.randn(1, 3, 21, 16))]
    assert sizes == [(16, 21, 16), (24, 11, 8), (48, 6, 4), (96, 3, 2)]
