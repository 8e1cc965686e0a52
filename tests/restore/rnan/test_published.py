import pickle

import pytest
import torch
from safetensors.torch import save_file

from modicum.restore.rnan.network import RNAN, rnan_denoising, rnan_super_resolution
from modicum.restore.rnan.published import convert_published, load_published, published_names
from modicum.storage.errors import WeightsError

OPTIONS = [
    {"channels": 1},
    {"channels": 3, "local_groups": 0},
    *({"channels": 3, "scale": scale} for scale in (2, 3, 4)),
]


def build(**options):
    torch.manual_seed(0)
    network = RNAN(features=4, normalize="outputs", **({"channels": 1, "local_groups": 2} | options)).eval()
    with torch.no_grad():
        for each in network.parameters():
            each.add_(0.05 * torch.randn_like(each))
    return network


def release(**options):
    network = build(**options)
    names = published_names(network)
    state = {names[ours]: tensor.detach() for ours, tensor in network.named_parameters()}
    if network.scale > 1:
        for name, sign in (("sub_mean", -1), ("add_mean", 1)):
            state[f"{name}.weight"] = torch.eye(3).view(3, 3, 1, 1)
            state[f"{name}.bias"] = sign * 255 * network.mean.flatten()
    return state


@pytest.mark.parametrize("options", OPTIONS)
def test_every_tensor_has_a_name_of_its_own(options):
    network = build(**options)

    names = published_names(network)

    assert set(names) == {name for name, _ in network.named_parameters()}
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_structure_is_told_by_the_tensors(options):
    network = build(**options)

    converted = convert_published(release(**options))

    assert converted.storage_config() == network.storage_config()
    image = 255 * torch.rand(1, network.channels, 8, 6)
    torch.testing.assert_close(converted(image), network(image))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("head.0.weight", "head.weight"),
        ("body_nl_low.0.body.0.RA_RB1.0.body.2.bias", "first.0.before.body.2.bias"),
        ("body_nl_high.0.body.0.RA_MB.MB_RB1.0.W.weight", "last.0.mask.before.0.projection.weight"),
        ("body_nl_low.0.body.0.RA_MB.MB_RB1.1.body.0.weight", "first.0.mask.before.1.body.0.weight"),
        ("body.7.body.0.RA_MB.MB_RB1.0.body.0.weight", "middle.7.0.mask.before.body.0.weight"),
        ("body.7.body.1.bias", "middle.7.1.bias"),
        ("body.8.weight", "middle.8.weight"),
        ("tail.0.bias", "tail.0.bias"),
    ],
)
def test_names_are_those_of_the_release(name, ours):
    with torch.device("meta"):
        assert published_names(rnan_denoising())[ours] == name


def test_super_resolution_has_its_own_tail():
    with torch.device("meta"):
        names = published_names(rnan_super_resolution(4))

    found = {
        theirs for theirs in names.values() if theirs.endswith("weight") and not theirs.startswith(("body", "head"))
    }
    assert found == {"tail.0.0.weight", "tail.0.2.weight", "tail.1.weight"}


@pytest.mark.parametrize(("scale", "tensors"), [(2, 468), (3, 468), (4, 470)])
def test_super_resolution_brings_as_many_tensors_as_the_release(scale, tensors):
    assert len(release(channels=3, scale=scale, local_groups=8)) == tensors


def test_shifts_of_colours_that_the_authors_trained_are_kept():
    network, state = build(channels=3, scale=2), release(channels=3, scale=2)
    first, last = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        for shift, name in ((first, "sub_mean"), (last, "add_mean")):
            shift.weight.copy_(state[f"{name}.weight"] + 0.1 * torch.randn(3, 3, 1, 1))
            shift.bias.copy_(state[f"{name}.bias"] + torch.randn(3))
            state |= {f"{name}.weight": shift.weight.detach(), f"{name}.bias": shift.bias.detach()}
    image = 255 * torch.rand(1, 3, 8, 6)

    converted = convert_published(state)

    network.mean.zero_()
    torch.testing.assert_close(converted(image), last(network(first(image))), atol=1e-3, rtol=1e-5)


def test_a_published_state_of_462_tensors_loads():
    with torch.device("meta"):
        published = rnan_denoising()
    shapes = {name: tensor.shape for name, tensor in published.state_dict().items()}
    state = {theirs: torch.zeros(shapes[ours]) for ours, theirs in published_names(published).items()}

    network = convert_published(state)

    assert len(state) == 462
    assert network.storage_config() == rnan_denoising(normalize="outputs").storage_config()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_reads_both_kinds_of_files(tmp_path, suffix):
    path, state = tmp_path / f"RNAN{suffix}", release()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    assert len(load_published(path).state_dict()) == len(state)


def test_a_missing_tensor_is_named():
    state = release()
    del state["body.1.body.1.bias"]

    with pytest.raises(WeightsError, match=r"tensors missing: 'body\.1\.body\.1\.bias'$"):
        convert_published(state)


def test_an_unknown_tensor_is_named():
    with pytest.raises(WeightsError, match=r"tensors unknown: 'fc\.weight'$"):
        convert_published(release() | {"fc.weight": torch.zeros(1)})


def test_a_tensor_of_another_shape_is_named():
    with pytest.raises(WeightsError, match=r"of another shape: 'tail\.0\.bias is \(3,\), not \(1,\)'$"):
        convert_published(release() | {"tail.0.bias": torch.zeros(3)})


def test_other_weights_are_refused():
    with pytest.raises(WeightsError, match=r"first convolution, head\.0\.weight, is missing"):
        convert_published({"conv1.weight": torch.zeros(1)})


def test_nothing_in_a_file_is_executed(tmp_path):
    path = tmp_path / "RNAN.pt"
    path.write_bytes(pickle.dumps(print, protocol=2))

    with pytest.raises(WeightsError, match=r"RNAN\.pt cannot be read as weights"):
        load_published(path)


def test_a_file_without_a_state_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pt")

    with pytest.raises(WeightsError, match=r"list\.pt holds no state of a network"):
        load_published(tmp_path / "list.pt")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt cannot be read as weights"):
        load_published(tmp_path / "none.pt")
