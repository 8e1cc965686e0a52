import pickle

import pytest
import torch
import torch.nn.functional as F
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
    """A state by the authors' names, with the values of a network of ours."""
    network = build(**options)
    names = published_names(network)
    state = {names[ours]: tensor.detach() for ours, tensor in network.named_parameters()}
    if network.scale > 1:
        for name, sign in (("sub_mean", -1), ("add_mean", 1)):
            state[f"{name}.weight"] = torch.eye(3).view(3, 3, 1, 1)
            state[f"{name}.bias"] = sign * 255 * network.mean.flatten()
    return state


# The layers of the authors' module definitions (common.py and rnan.py of their release), written off, not derived: they
# are what the import map is tested against.
RESIDUAL_BLOCKS = (
    "RA_RB1.0",
    "RA_TB.0.body.0",
    "RA_TB.0.body.1",
    "RA_MB.0.MB_RB2.0",
    "RA_MB.0.MB_RB2.1",
    "RA_MB.0.MB_RB3.0",
    "RA_tail.0",
    "RA_tail.1",
)
LOCAL_LAYERS = (
    *(f"body.0.{block}.body.{layer}" for block in (*RESIDUAL_BLOCKS, "RA_MB.0.MB_RB1.0") for layer in (0, 2)),
    "body.0.RA_MB.0.MB_Down.0",
    "body.0.RA_MB.0.MB_Up.0",
    "body.0.RA_MB.0.MB_1x1conv.0",
    "body.1",
)
NON_LOCAL_LAYERS = (
    *(f"body.0.{block}.body.{layer}" for block in (*RESIDUAL_BLOCKS, "RA_MB.0.MB_RB1.1") for layer in (0, 2)),
    *(f"body.0.RA_MB.0.MB_RB1.0.{layer}" for layer in ("g", "W", "theta", "phi")),
    "body.0.RA_MB.0.MB_Down.0",
    "body.0.RA_MB.0.MB_Up.0",
    "body.0.RA_MB.0.MB_1x1conv.0",
    "body.1",
)
TAILS = {1: ("tail.0",), 2: ("tail.0.0", "tail.1"), 3: ("tail.0.0", "tail.1"), 4: ("tail.0.0", "tail.0.2", "tail.1")}
OFFICIAL = {
    "noise, grey": (1, 1),
    "noise, colour": (3, 1),
    "JPEG": (1, 1),
    "mosaics": (3, 1),
    "x2": (3, 2),
    "x3": (3, 3),
    "x4": (3, 4),
}


def official_layers(scale, groups=8):
    return (
        "head.0",
        *(f"{group}.0.{layer}" for group in ("body_nl_low", "body_nl_high") for layer in NON_LOCAL_LAYERS),
        *(f"body.{number}.{layer}" for number in range(groups) for layer in LOCAL_LAYERS),
        f"body.{groups}",
        *TAILS[scale],
        *(("sub_mean", "add_mean") if scale > 1 else ()),
    )


def official_shape(layer, channels, scale, features):
    """Outputs, inputs and side of a layer's kernel, as the authors' modules have them."""
    if layer in ("sub_mean", "add_mean"):
        return 3, 3, 1
    kind = layer.rpartition(".")[2]
    if kind in ("g", "theta", "phi", "W"):
        return (features, features // 2, 1) if kind == "W" else (features // 2, features, 1)
    if layer == "head.0":
        return features, channels, 3
    if layer.startswith("tail.0.") and scale > 1:
        return features * (9 if scale == 3 else 4), features, 3
    if layer.startswith("tail"):
        return channels, features, 3
    side = 6 if "MB_Up" in layer else 1 if "1x1" in layer else 3
    return features, features, side


def official_state(channels, scale, *, features=4, groups=2, dtype=torch.float64):
    generator, state = torch.Generator().manual_seed(0), {}
    for layer in official_layers(scale, groups):
        outputs, inputs, side = official_shape(layer, channels, scale, features)
        weight = torch.randn(outputs, inputs, side, side, generator=generator, dtype=dtype) / (inputs**0.5 * side)
        if layer in ("sub_mean", "add_mean"):
            weight = torch.eye(3, dtype=dtype).view(3, 3, 1, 1) + 0.1 * weight
        state[f"{layer}.weight"] = weight
        state[f"{layer}.bias"] = torch.randn(outputs, generator=generator, dtype=dtype)
    return state


class Reference:
    """The published network, plainly, by the names of its released tensors."""

    def __init__(self, state, scale, groups):
        self.state, self.scale, self.groups = state, scale, groups

    def conv(self, name, x, **options):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, **options)

    def residual(self, name, x):
        return x + self.conv(f"{name}.body.2", self.conv(f"{name}.body.0", x).relu())

    def non_local(self, name, x):
        theta, phi, g = (self.conv(f"{name}.{kind}", x).flatten(2).mT for kind in ("theta", "phi", "g"))
        y = (theta @ phi.mT).softmax(1) @ g
        return x + self.conv(f"{name}.W", y.mT.unflatten(2, x.shape[2:]))

    def mask(self, name, x, *, non_local):
        if non_local:
            x = self.non_local(f"{name}.MB_RB1.0", x)
        fine = self.residual(f"{name}.MB_RB1.{int(non_local)}", x)
        coarse = self.conv(f"{name}.MB_Down.0", fine, stride=2)
        for number in (0, 1):
            coarse = self.residual(f"{name}.MB_RB2.{number}", coarse)
        up = self.state[f"{name}.MB_Up.0.weight"], self.state[f"{name}.MB_Up.0.bias"]
        coarse = F.conv_transpose2d(coarse, *up, stride=2, padding=2)
        return self.conv(f"{name}.MB_1x1conv.0", self.residual(f"{name}.MB_RB3.0", fine + coarse)).sigmoid()

    def group(self, name, x, *, non_local):
        block = f"{name}.body.0"
        h = self.residual(f"{block}.RA_RB1.0", x)
        trunk = self.residual(f"{block}.RA_TB.0.body.1", self.residual(f"{block}.RA_TB.0.body.0", h))
        h = trunk * self.mask(f"{block}.RA_MB.0", h, non_local=non_local) + h
        for number in (0, 1):
            h = self.residual(f"{block}.RA_tail.{number}", h)
        return self.conv(f"{name}.body.1", h)

    def __call__(self, image):
        x = self.conv("sub_mean", image) if self.scale > 1 else image
        shallow = self.conv("head.0", x)
        deep = self.group("body_nl_low.0", shallow, non_local=True)
        for number in range(self.groups):
            deep = self.group(f"body.{number}", deep, non_local=False)
        deep = self.group("body_nl_high.0", self.conv(f"body.{self.groups}", deep), non_local=True)
        if self.scale == 1:
            return image + self.conv("tail.0", deep)
        deep = deep + shallow
        for layer in TAILS[self.scale][:-1]:
            deep = F.pixel_shuffle(self.conv(layer, deep), 3 if self.scale == 3 else 2)
        return self.conv("add_mean", self.conv("tail.1", deep))


@pytest.mark.parametrize(("channels", "scale"), OFFICIAL.values(), ids=OFFICIAL)
def test_every_official_network_loads_and_answers_as_published(channels, scale):
    state = official_state(channels, scale)

    network = convert_published(state)

    image = torch.rand(2, channels, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(network(image), Reference(state, scale, groups=2)(image), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("channels", "scale", "tensors"), [(1, 1, 462), (3, 4, 470)])
def test_official_states_of_full_size_tell_the_published_networks(channels, scale, tensors):
    shapes = {layer: official_shape(layer, channels, scale, 64) for layer in official_layers(scale)}
    state = {f"{layer}.weight": torch.zeros(o, i, side, side) for layer, (o, i, side) in shapes.items()}
    state |= {f"{layer}.bias": torch.zeros(outputs) for layer, (outputs, _, _) in shapes.items()}
    if scale > 1:
        state |= {f"{shift}.weight": torch.eye(3).view(3, 3, 1, 1) for shift in ("sub_mean", "add_mean")}

    network = convert_published(state)

    assert len(state) == tensors
    with torch.device("meta"):
        expected = rnan_denoising(channels) if scale == 1 else rnan_super_resolution(scale)
    assert network.storage_config() == expected.storage_config() | {"normalize": "outputs"}


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
        ("body_nl_high.0.body.0.RA_MB.0.MB_RB1.0.W.weight", "last.0.mask.before.0.projection.weight"),
        ("body_nl_low.0.body.0.RA_MB.0.MB_RB1.1.body.0.weight", "first.0.mask.before.1.body.0.weight"),
        ("body.7.body.0.RA_MB.0.MB_RB1.0.body.0.weight", "middle.7.0.mask.before.body.0.weight"),
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

    with pytest.raises(WeightsError, match=r"RNAN\.pt is damaged, or holds more than plain tensors"):
        load_published(path)


def test_a_file_without_a_state_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pt")

    with pytest.raises(WeightsError, match=r"list\.pt holds no state of a network"):
        load_published(tmp_path / "list.pt")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt does not exist"):
        load_published(tmp_path / "none.pt")
