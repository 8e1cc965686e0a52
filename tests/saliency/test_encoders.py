import pytest
import timm
import torch
from safetensors.torch import save_file

from modicum.nn.published import timm_file
from modicum.saliency.encoders import SmallEncoder, check_checkpoint, create_encoder
from modicum.storage.errors import WeightsError

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(5)
    return timm.create_model(NAME).state_dict()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_checkpoint_of_timm_by_path_fills_the_encoder(tmp_path, state, suffix):
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    encoder = create_encoder(NAME, checkpoint=file)
    found = encoder.features.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(found, state["conv_stem.weight"], rtol=0, atol=0)
    last = encoder.features.state_dict()["blocks.5.0.conv.weight"]
    torch.testing.assert_close(last, state["blocks.5.0.conv.weight"], rtol=0, atol=0)


def test_weights_that_a_user_put_where_published_ones_are_kept_are_taken_without_the_hub(tmp_path, state, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    timm_file(NAME).parent.mkdir(parents=True)
    save_file(state, timm_file(NAME))
    encoder = create_encoder(NAME, pretrained=True)
    found = encoder.features.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(found, state["conv_stem.weight"], rtol=0, atol=0)


def test_checkpoint_of_another_model_is_refused(tmp_path, state):
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    with pytest.raises(WeightsError, match=r"no checkpoint of timm's resnet18: 'conv1\.weight'"):
        check_checkpoint("resnet18", file)


def test_checkpoint_that_lacks_a_tensor_is_refused_by_its_name(tmp_path, state):
    file = tmp_path / "weights.pth"
    torch.save({name: value for name, value in state.items() if name != "conv_stem.weight"}, file)
    with pytest.raises(WeightsError, match=r"'conv_stem\.weight' missing"):
        create_encoder(NAME, checkpoint=file)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_damaged_checkpoint_is_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        check_checkpoint(NAME, file)


def test_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        create_encoder(NAME, checkpoint=tmp_path / "none.pth")


def test_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="encoder 'resnet19' cannot be used"):
        create_encoder("resnet19")


def test_small_encoder_has_no_pretrained_weights():
    with pytest.raises(ValueError, match="'small' has no pretrained weights"):
        create_encoder("small", pretrained=True)


def test_small_encoder_halves_the_size_from_level_to_level():
    sizes = [tuple(each.shape[1:]) for each in SmallEncoder()(torch.randn(1, 3, 21, 16))]
    assert sizes == [(16, 21, 16), (24, 11, 8), (48, 6, 4), (96, 3, 2)]
