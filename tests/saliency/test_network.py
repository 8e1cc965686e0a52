import pytest
import torch

from modicum.measuring.counting import count_macs
from modicum.saliency.network import SaliencyNet
from modicum.storage.weights import load_network, save_network

PUBLISHED = [  # encoder, its parameters, those of the head, multiply-adds at 352 px in units of 10^9
    ("vgg16", 14_714_688, 1_305_959, 77.1),
    ("vgg16_bn", 14_723_136, 1_305_959, 77.1),
    ("resnet50", 23_508_032, 2_706_791, 21.0),
    ("resnet18", 11_176_512, 1_047_911, 13.7),
    ("mobilenetv3_large_100", 2_971_952, 1_121_639, 8.6),
]
TINY = "mobilenetv3_small_050"


def on_meta(*args, **options):
    with torch.device("meta"):
        return SaliencyNet(*args, **options)


def count(module):
    return sum(each.numel() for each in module.parameters())


def padding(network, images):
    """Multiply-adds that the fused kernel spends on queries and keys made as wide as values, 64 for 8 channels."""
    positions = [features.shape[-2] * features.shape[-1] for features in network.encoder(images)[-2:]]
    return sum(count**2 * (64 - 8) for count in positions)


@pytest.mark.parametrize(("encoder", "own", "head", "giga_macs"), PUBLISHED)
def test_parameters_and_multiply_adds_at_352_pixels(encoder, own, head, giga_macs):
    network = on_meta(encoder).eval()
    assert (count(network.encoder), count(network) - count(network.encoder)) == (own, head)
    images = torch.empty(1, 3, 352, 352, device="meta")
    assert (count_macs(network, images) - padding(network, images)) / 1e9 == pytest.approx(giga_macs, abs=0.05)


def test_multiply_adds_of_the_default_exactly():
    images = torch.empty(1, 3, 352, 352, device="meta")
    network = on_meta().eval()
    assert count_macs(network, images) - padding(network, images) == 8_640_342_856


@pytest.mark.parametrize(("options", "parameters"), [({}, 256_978), ({"steps": 0, "deep_attention": "none"}, 244_916)])
def test_parameters_of_the_small_network(options, parameters):
    assert count(on_meta("small", **{"width": 24, "steps": 2} | options)) == parameters


@pytest.mark.parametrize("size", [(33, 47), (64, 64), (41, 32)])
@pytest.mark.parametrize("encoder", ["small", TINY])
def test_outputs_have_the_size_of_the_input(encoder, size):
    network = SaliencyNet(encoder, width=16, steps=1).eval()
    images = torch.randn(1, 3, *size)
    assert {tuple(side.shape) for side in network(images).sides} == {(1, 1, *size)}
    assert network.saliency(images).shape == (1, 1, *size)


def test_prediction_is_the_finest_side_output(small, images):
    torch.testing.assert_close(small.saliency(images), small(images).finest.sigmoid(), rtol=0, atol=0)


def test_prediction_does_not_compute_coarser_outputs(small, images):
    calls = []
    for place, side in enumerate(small.sides):
        side.register_forward_hook(lambda *_, place=place: calls.append(place))
    small.saliency(images)
    assert calls == [0]


def test_images_of_a_batch_do_not_touch_each_other(small, images):
    one_by_one = torch.cat([small.saliency(image[None]) for image in images])
    torch.testing.assert_close(small.saliency(images), one_by_one, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(small, images):
    small.train()
    sum(side.mean() for side in small(images).sides).backward()
    assert [name for name, each in small.named_parameters() if each.grad is None] == []


def test_skipping_the_finest_level_saves_most_of_the_head():
    images = torch.empty(1, 3, 320, 320, device="meta")
    full, fast = (count_macs(on_meta(skip_finest=skip).eval(), images) for skip in (False, True))
    assert fast / full == pytest.approx(0.304, abs=0.001)


def test_region_variant_supervises_its_regions(images):
    network = SaliencyNet("small", width=16, steps=1, deep_attention="region")
    assert len(network(images).sides) == 4 + 1


@pytest.mark.parametrize("kind", ["self", "region"])
def test_attention_can_be_looked_at(images, kind):
    network = SaliencyNet("small", width=16, steps=1, deep_attention=kind).eval()
    fine, coarse = network.attention_weights(images)
    assert (fine.size, coarse.size) == ((12, 10), (6, 5))
    assert coarse.weights.shape == (2, 6 * 5, 6 * 5)
    torch.testing.assert_close(fine.weights.sum(2), torch.ones(2, 120))


def test_network_without_attention_has_none_to_look_at(images):
    with pytest.raises(ValueError, match="no attention to look at"):
        SaliencyNet("small", width=16, deep_attention="none").attention_weights(images)


@pytest.mark.parametrize("options", [{}, {"deep_attention": "region", "step_norms": "shared", "skip_finest": True}])
def test_saved_network_is_rebuilt_equal(tmp_path, images, options):
    network = SaliencyNet("small", width=16, steps=2, **options).eval()
    save_network(tmp_path / "model.safetensors", network)
    loaded = load_network(tmp_path / "model.safetensors", {"saliency": SaliencyNet})
    torch.testing.assert_close(loaded.saliency(images), network.saliency(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_norms": "none"}, "step_norms must be one of per_step, shared, got 'none'"),
        ({"deep_attention": "both"}, "deep_attention must be one of self, region, none, got 'both'"),
        ({"steps": -1}, r"steps must be 0\.\.5, got -1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SaliencyNet("small", width=16, **options)
