import pytest
import torch

from modicum.measuring.counting import count_macs
from modicum.restore.rnan.network import (
    RNAN,
    AttentionBlock,
    MaskBranch,
    ResidualBlock,
    rnan_denoising,
    rnan_super_resolution,
)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(build):
    with torch.device("meta"):
        return build()


def small(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RNAN(options.pop("channels", 1), features=8, local_groups=1, **options).eval()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: ResidualBlock(64), 73_856),
        (lambda: MaskBranch(64), 484_032),
        (lambda: AttentionBlock(64), 853_312),
        (lambda: rnan_denoising(1).middle[0], 890_240),
        (lambda: rnan_denoising(1).first, 898_592),
        (lambda: rnan_denoising(1).first[0].mask.before[0], 8_352),
        (lambda: rnan_denoising(1).middle, 8 * 890_240 + 36_928),
        (lambda: rnan_denoising(1), 8_957_249),
        (lambda: rnan_denoising(3), 8_959_555),
        (lambda: RNAN(3, local_groups=0), 1_837_635),
        (lambda: RNAN(3, local_groups=1), 2_727_875),
    ],
)
def test_parameters_are_those_of_the_published_network(build, expected):
    assert parameters(on_meta(build)) == expected


@pytest.mark.parametrize(("scale", "expected"), [(2, 9_107_291), (3, 9_291_931), (4, 9_255_003)])
def test_super_resolution_has_the_published_parameters_but_for_the_mean_shifts(scale, expected):
    assert parameters(on_meta(lambda: rnan_super_resolution(scale))) == expected - 24


def test_state_of_the_published_denoiser_has_462_tensors():
    assert len(on_meta(rnan_denoising).state_dict()) == 462


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: RNAN(1, non_local=False), 6_454_400 - 2 * 8_192),
        (lambda: RNAN(3, non_local=False), 6_456_704 - 2 * 8_192),
        (lambda: rnan_denoising(1), 6_454_400),
        (lambda: rnan_super_resolution(2), None),
        (lambda: rnan_super_resolution(3), None),
        (lambda: rnan_super_resolution(4), None),
    ],
)
def test_multiply_adds_per_pixel_are_those_that_are_counted(build, expected):
    network, side = on_meta(build), 16
    counted = count_macs(network, torch.empty(1, network.channels, side, side, device="meta"))
    attention = 128 * side**4 if network.storage_config()["non_local"] else 0
    assert network.macs_per_pixel == (counted - attention) / side**2
    assert expected is None or network.macs_per_pixel == pytest.approx(expected, abs=30)


def test_published_figure_for_a_patch_holds_with_attention():
    macs = count_macs(on_meta(rnan_denoising), torch.empty(1, 1, 48, 48, device="meta"))
    assert macs / 1e9 == pytest.approx(15.55, abs=0.01)


@pytest.mark.parametrize(
    ("build", "side", "giga"),
    [
        (lambda: rnan_denoising(1), 48, 15.55),
        (lambda: rnan_denoising(1), 96, 70.4),
        (lambda: rnan_denoising(3), 100, 77.4),
        (lambda: rnan_super_resolution(2), 48, 15.9),
        (lambda: rnan_super_resolution(3), 48, 16.4),
        (lambda: rnan_super_resolution(4), 48, 17.3),
    ],
)
def test_multiply_adds_of_an_image_are_those_of_the_published_network(build, side, giga):
    assert on_meta(build).macs(side, side) / 1e9 == pytest.approx(giga, abs=0.06)


@pytest.mark.parametrize("options", [{}, {"non_local": False}, {"normalize": "outputs"}, {"channels": 3, "scale": 3}])
def test_multiply_adds_of_an_image_are_those_that_are_counted(options):
    network = on_meta(lambda: small(**options))
    assert network.macs(12, 20) == count_macs(network, torch.empty(1, network.channels, 12, 20, device="meta"))


@pytest.mark.parametrize(("channels", "scale"), [(1, 1), (3, 1), (3, 2), (3, 3), (3, 4)])
def test_result_has_the_size_of_the_input_times_the_scale(channels, scale):
    network = small(channels=channels, scale=scale)
    assert network(torch.rand(2, channels, 10, 14) * 255).shape == (2, channels, 10 * scale, 14 * scale)


def test_fresh_non_local_network_equals_the_local_one():
    seeing, local = small(), small(non_local=False)
    renamed = {
        name.replace(".before.1.", ".before."): value
        for name, value in seeing.state_dict().items()
        if ".mask.before.0." not in name
    }
    local.load_state_dict(renamed)
    image = torch.rand(1, 1, 12, 12) * 255
    assert torch.allclose(seeing(image), local(image), atol=1e-4)


@pytest.mark.parametrize("normalize", ["sources", "outputs"])
def test_attention_reaches_across_the_image_once_it_has_learnt(normalize):
    network = small(normalize=normalize)
    torch.nn.init.normal_(network.last[0].mask.before[0].projection.weight)
    image = torch.rand(1, 1, 64, 64) * 255
    changed = image.clone()
    changed[..., :2, :2] += 50
    assert (network(changed) - network(image))[..., -4:, -4:].abs().max() > 0


def test_mask_lies_between_zero_and_one():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mask = MaskBranch(8)(torch.randn(1, 8, 6, 6))
    assert 0 < mask.min() < mask.max() < 1


def test_range_of_values_only_rescales_the_first_layers_input():
    wide, unit = small(), small(value_range=1.0)
    image = torch.zeros(1, 1, 8, 8)  # of black, both see the same
    assert torch.allclose(wide(image), unit(image) / 255, atol=1e-5)


def test_super_resolution_holds_its_mean_still_and_stores_it():
    network = small(channels=3, scale=2)
    assert "mean" in network.state_dict()
    assert "mean" not in dict(network.named_parameters())


def test_network_is_rebuilt_from_its_configuration():
    network = small(channels=3, scale=3, normalize="outputs", value_range=1.0)
    again = RNAN(**network.storage_config())
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 8, 8) * 255
    assert torch.equal(again.eval()(image), network(image))


def test_gradients_reach_every_parameter():
    network = small()
    torch.nn.init.normal_(network.last[0].mask.before[0].projection.weight)
    torch.nn.init.normal_(network.first[0].mask.before[0].projection.weight)
    network(torch.rand(1, 1, 8, 8) * 255).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "channels must be 1 or 3, and 3 where the network enlarges, got 2 at scale 1"),
        ({"channels": 1, "scale": 2}, "got 1 at scale 2"),
        ({"scale": 5}, "scale must be 1, 2, 3 or 4, got 5"),
        ({"normalize": "both"}, "normalize must be one of 'sources', 'outputs', got 'both'"),
        ({"value_range": 0}, "value_range must be above 0, got 0"),
    ],
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_odd_sides_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"sides must be even, got \(9, 8\): pad the image, or run it in tiles"):
        small()(torch.zeros(1, 1, 9, 8))
