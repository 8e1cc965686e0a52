import copy
import itertools
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.network import DRNet, PricedChoice
from modicum.classify.drnet.predictors import small_predictor
from modicum.classify.drnet.resolutions import check_backbone
from modicum.measuring.counting import count_macs, count_network_macs
from modicum.storage.errors import WeightsError
from modicum.storage.weights import load_network, save_network

RESOLUTIONS = (224, 192, 168, 160, 128, 112, 96)
TABLE = {  # G-MAC, convolutions and linear layers
    "resnet18": (1.814, 1.333, 1.114, 0.926, 0.593, 0.485, 0.334),
    "resnet50": (4.089, 3.005, 2.503, 2.087, 1.337, 1.078, 0.753),
    "resnet101": (7.801, 5.732, 4.795, 3.981, 2.549, 2.006, 1.435),
    "mobilenet_v2": (0.3008, 0.2213, 0.1889, 0.1541, 0.0991, 0.0822, 0.0563),
}


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def addresses(network):
    return {value.data_ptr() for value in network.state_dict().values()}


@pytest.fixture(scope="module")
def network(build):
    return build()


# --- sizes and prices ---


def create_without_weights(name):
    with torch.device("meta"):
        return create_backbone(name, 1000)


@pytest.mark.parametrize("name", TABLE)
def test_cost_of_every_resolution_is_the_published_one(name):
    backbone = create_without_weights(name)
    costs = [count_network_macs(backbone, (1, 3, side, side)) / 1e9 for side in RESOLUTIONS]
    assert costs == pytest.approx(TABLE[name], rel=5e-3)  # the table is rounded to three digits


def test_dr_resnet50_has_the_published_parameters_and_costs():
    network = DRNet("resnet50", num_classes=1000, loaded_backbone=create_without_weights("resnet50"))
    assert num_parameters(network) == 25_557_032 + 4_907_331 + 2 * 53_120  # 30.57 M; the paper leaves the last term out
    assert network.costs.per_route == pytest.approx((4.089e9, 2.503e9, 1.078e9), rel=5e-4)
    assert network.costs.decision == 290_194_944
    assert network.costs.plain == network.costs.per_route[0]


def test_mobile_predictor_fits_the_budget_of_dr_mobilenet():
    backbone = create_without_weights("mobilenet_v2")
    network = DRNet("mobilenet_v2", num_classes=1000, predictor="mobile", loaded_backbone=backbone)
    added = num_parameters(network) - 3_504_872
    assert added == 41_203 + 2 * 34_112
    assert added <= 300_000  # 3.8 M against 3.5 M in the paper
    assert network.costs.decision <= 15e6


def test_routes_are_named_by_their_side(network):
    assert network.costs.names(torch.tensor([2, 0])) == ["16 px", "32 px"]


# --- the decision ---


def test_decision_is_the_most_probable_resolution_at_knob_zero(network, images):
    scores = network.scores(images)
    assert torch.equal(network.policy.decide(scores, 0.0), scores.argmax(1))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(24))


def test_first_of_tied_routes_wins():
    assert PricedChoice([1.0, 0.5, 0.25]).decide(torch.zeros(2, 3), 0.0).tolist() == [0, 0]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 30), knobs=st.lists(st.floats(-50, 50), min_size=2, max_size=6))
def test_no_sample_gets_dearer_as_the_knob_grows(seed, spread, knobs):
    policy = PricedChoice([1.0, 0.612, 0.264])
    generator = torch.Generator().manual_seed(seed)
    scores = (spread * torch.randn(20, 3, generator=generator)).log_softmax(1)
    costs = [policy.relative_costs[policy.decide(scores, knob)] for knob in sorted(knobs)]
    assert all((cheaper <= dearer).all() for dearer, cheaper in itertools.pairwise(costs))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 30))
def test_ends_of_the_knob_give_the_dearest_and_the_cheapest_routes(seed, spread):
    policy = PricedChoice([1.0, 0.612, 0.264])
    scores = (spread * torch.randn(20, 3, generator=torch.Generator().manual_seed(seed))).log_softmax(1)
    dearest, cheapest = policy.knob_range(scores)
    assert set(policy.decide(scores, dearest).tolist()) == {0}
    assert set(policy.decide(scores, cheapest).tolist()) == {2}


def test_knob_range_of_nothing_is_a_point():
    assert PricedChoice([1.0, 0.5]).knob_range(torch.empty(0, 2)) == (0.0, 0.0)


# --- the execution ---


def test_routed_equals_masked(network, images, routes):
    masked = network.every_resolution(images)[torch.arange(24), routes]
    torch.testing.assert_close(network.run(images, routes), masked, rtol=0, atol=1e-5)  # batch sizes differ: rounding


def test_batch_equals_one_by_one_in_any_order(network, images):
    whole = network.predict(images, 0.3)
    for place in reversed(range(24)):
        alone = network.predict(images[place : place + 1], 0.3)
        assert alone.routes == whole.routes[place]
        torch.testing.assert_close(alone.outputs[0], whole.outputs[place], rtol=0, atol=1e-5)


def test_reported_cost_is_the_executed_cost(network, images):
    routed = network.predict(images, 0.3)
    assert len(routed.routes.unique()) > 1
    assert count_macs(lambda batch: network.predict(batch, 0.3), images) == routed.macs.sum()


def test_only_chosen_resolutions_are_computed(network, images):
    seen = []
    handle = network.backbone.register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape)))
    network.run(images, torch.tensor([2] * 20 + [0] * 4))
    handle.remove()
    assert seen == [(4, 3, 32, 32), (20, 3, 16, 16)]


def test_evaluation_is_deterministic_and_draws_nothing(network, images):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = network.predict(images)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(network.predict(images).outputs, first.outputs)


def test_forward_is_the_decision_of_the_paper(network, images):
    assert torch.equal(network(images), network.run(images, network.scores(images).argmax(1)))


def test_empty_batch_is_legal(network):
    routed = network.predict(torch.empty(0, 3, 32, 32))
    assert (routed.outputs.shape, routed.routes.shape, routed.macs.shape) == ((0, 10), (0,), (0,))


def test_memory_layout_does_not_matter(network, images):
    turned = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(turned), network(images), rtol=0, atol=1e-5)


def test_half_precision_scores_in_single_precision(build, images):
    network = build(kernel="bilinear").to(torch.bfloat16)  # torch has no antialiased kernel for this type on CPUs
    assert network.scores(images.bfloat16()).dtype == torch.float32
    assert network.predict(images.bfloat16()).outputs.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (2, 1, 32, 32), (3, 32, 32)])
@pytest.mark.parametrize("method", ["scores", "every_resolution", "predict"])
def test_images_of_another_shape_are_refused(network, method, shape):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\), the full resolution, got"):
        getattr(network, method)(torch.zeros(shape))


# --- plain networks ---


@pytest.mark.parametrize("index", [0, 1, 2])
def test_static_network_equals_its_resolution(network, images, index):
    static = network.static(index).eval()
    torch.testing.assert_close(static(images), network.at_resolution(images, index), rtol=0, atol=0)


def test_static_network_shares_no_memory(network):
    assert not addresses(network) & addresses(network.static(1))


def test_plain_network_is_the_largest_resolution(network, images):
    assert torch.equal(network.plain_network().eval()(images), network.at_resolution(images, 0))


def test_resolutions_differ_in_their_normalisation(network, images):
    with network.switch.at(2):
        wrong = network.backbone(images)
    assert not torch.allclose(wrong, network.at_resolution(images, 0), atol=1e-2)


def test_backbone_is_copied():
    backbone = create_backbone("digit_resnet", 10)
    before = copy.deepcopy(backbone.state_dict())
    network = DRNet(backbone, num_classes=10, resolutions=(32, 16), predictor="small")
    network.train().every_resolution(torch.randn(8, 3, 32, 32))
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)
    assert not addresses(backbone) & addresses(network)


# --- what can be served ---


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", "regnety_002", "efficientnet_b0", "densenet121", "shufflenet_v2_x0_5", "photo_resnet"],
)
def test_backbones_that_pool_globally_are_served(name):
    check_backbone(create_backbone(name, 10), 10, (96, 64))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vgg11_bn", r"backbone VGG cannot be served: it pools to \(7, 7\) positions.* must end in global pooling"),
        ("vit_b_16", r"backbone VisionTransformer cannot be served: at 160 px it fails with: Wrong image height"),
        ("googlenet", r"backbone GoogLeNet cannot be served: for 2 images of 224 px it returns GoogLeNetOutputs, not"),
    ],
)
def test_backbones_that_cannot_be_served_are_refused_with_the_reason(name, reason):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization of GoogleNet", FutureWarning)
        backbone = create_backbone(name, 10)
    with pytest.raises(ValueError, match=reason):
        check_backbone(backbone, 10, (224, 160))


def test_backbone_with_other_classes_is_refused():
    message = r"backbone SmallResNet cannot be served: for 2 images of 32 px it returns \(2, 10\), not .* \(2, 7\)"
    with pytest.raises(ValueError, match=message):
        DRNet(create_backbone("digit_resnet", 10), num_classes=7, resolutions=(32, 16), predictor="small")


def test_check_changes_nothing():
    backbone = create_backbone("digit_resnet", 10).eval()
    before = copy.deepcopy(backbone.state_dict())
    check_backbone(backbone, 10, (32, 16))
    assert not backbone.training
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("resolutions", [(32,), (), (16, 32), (32, 32), (32, 0)])
def test_resolutions_that_do_not_fall_are_refused(resolutions):
    with pytest.raises(ValueError, match="resolutions must be at least two sides in pixels, falling, got"):
        DRNet("digit_resnet", num_classes=10, resolutions=resolutions, predictor="small")


def test_resolutions_of_equal_cost_are_refused():
    with pytest.raises(
        ValueError, match=r"\(32, 31, 16\) include some that cost the same.* choose sides further apart"
    ):
        DRNet("digit_resnet", num_classes=10, resolutions=(32, 31, 16), predictor="small")


# --- storage ---


def test_network_survives_storage(network, images, tmp_path):
    save_network(tmp_path / "model.safetensors", network)
    again = load_network(tmp_path, {"drnet": DRNet})
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert torch.equal(again.predict(images, 0.3).outputs, network.predict(images, 0.3).outputs)
    assert again.costs == network.costs


def test_options_survive_storage(build, tmp_path):
    network = build("resnet18", resolutions=(64, 32), shortcut_norm="shared", kernel="bilinear")
    save_network(tmp_path / "model.safetensors", network)
    again = load_network(tmp_path, {"drnet": DRNet})
    assert again.storage_config() == network.storage_config()
    assert isinstance(again.backbone.layer2[0].downsample[1], nn.BatchNorm2d)
    assert again.resize[1].kernel == "bilinear"


def test_network_of_given_parts_survives_storage_with_its_parts(build, images, tmp_path):
    parts = {
        "backbone": create_backbone("digit_resnet", 10),
        "predictor": small_predictor(3, thumbnail_px=12),
    }
    network = build(**parts)
    save_network(tmp_path / "model.safetensors", network)
    again = load_network(tmp_path, {"drnet": DRNet}, **parts)
    assert torch.equal(again.predict(images).outputs, network.predict(images).outputs)


def test_network_of_a_given_backbone_does_not_load_without_it(build, tmp_path):
    save_network(tmp_path / "model.safetensors", build(create_backbone("digit_resnet", 10)))
    with pytest.raises(WeightsError, match=r"the builder of 'drnet' does not take this config: missing.*'backbone'"):
        load_network(tmp_path, {"drnet": DRNet})
