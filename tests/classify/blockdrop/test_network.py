import copy
import itertools
from dataclasses import replace

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modicum.classify.backbones import SmallResNet, create_backbone
from modicum.classify.blockdrop.network import BlockDrop, KeepThreshold, rebuild_blockdrop
from modicum.classify.blockdrop.policies import small_policy
from modicum.measuring.counting import count_macs
from modicum.storage.errors import WeightsError
from modicum.storage.weights import load_network, save_network

SIDE = 16
U = 6


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def addresses(network):
    return {value.data_ptr() for value in network.state_dict().values()}


def make_backbone():
    return SmallResNet(5, widths=(4, 8), blocks=3, shortcut="pool")


def build(backbone=None, **options):
    """A small network whose policy treats images differently."""
    torch.manual_seed(0)
    defaults = {"num_classes": 5, "image_px": SIDE, "policy": small_policy(U, SIDE)}
    network = BlockDrop(backbone or make_backbone(), **(defaults | options)).eval()
    with torch.no_grad():
        head = [module for module in network.policy_network.modules() if isinstance(module, nn.Linear)][-1]
        head.weight.mul_(20)
        head.bias.sub_(network.policy_network(draw_images(16)).mean(0))
    return network


def draw_images(count):
    generator = torch.Generator().manual_seed(1)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 3
    return contrast * torch.randn(count, 3, SIDE, SIDE, generator=generator)


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def images():
    return draw_images(12)


# --- sizes and prices: table 2.3 of the specification, in multiply-adds ---

BLOCK, FIRST = 4_718_592, 3_538_944
STAGES_110 = [BLOCK] * 18 + ([FIRST] + [BLOCK] * 17) * 2
STAGES_101 = [
    *([179_830_784] + [218_365_952] * 2),
    *([269_746_176] + [218_365_952] * 3),
    *([269_746_176] + [218_365_952] * 22),
    *([269_746_176] + [218_365_952] * 2),
]


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters", "full", "floor", "per_block"),
    [
        ("cifar_resnet32_pool", 10, 464_154, 68_862_592, 443_008, [BLOCK] * 5 + ([FIRST] + [BLOCK] * 4) * 2),
        ("cifar_resnet110_pool", 10, 1_727_962, 252_887_680, 443_008, STAGES_110),
        ("cifar_resnet110_pool", 100, 1_733_812, 252_893_440, 448_768, STAGES_110),
        ("resnet101", 1000, 44_549_160, 7_801_405_440, 479_723_520, STAGES_101),
    ],
)
def test_backbones_have_the_published_sizes_and_costs(name, num_classes, parameters, full, floor, per_block):
    on_cifar = name.startswith("cifar")
    policy, image_px = ("resnet8", 32) if on_cifar else ("resnet10", 224)
    network = BlockDrop(name, num_classes=num_classes, image_px=image_px, policy=policy)
    assert num_parameters(network.backbone) == parameters
    assert network.costs.per_unit == tuple(per_block)
    assert network.costs.floor == floor
    assert network.costs.plain == full
    assert network.costs.decision == (12_238_848 + 64 * len(per_block) if on_cifar else 235_958_784)


def test_cost_at_the_published_number_of_blocks_is_the_published_one(network):
    costs = replace(network.costs, per_unit=tuple(map(float, STAGES_110)), floor=443_008.0, decision=12_242_304.0)
    mean = costs.floor + costs.decision + 16.93 * sum(costs.per_unit) / 54
    assert 2 * mean == pytest.approx(1.81e8, rel=0.02)  # in FLOPs; which 16.93 blocks are kept is not published


@pytest.mark.parametrize(
    ("make", "num_blocks"),
    [
        (make_backbone, U),
        (lambda: create_backbone("test_resnet", 5), 4),
        (lambda: torchvision.models.resnet18(num_classes=5), 8),
        (lambda: torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.25), 11),
    ],
)
@torch.inference_mode()
def test_reported_cost_is_the_executed_cost(make, num_blocks):
    network = BlockDrop(make(), num_classes=5, image_px=SIDE, policy=small_policy(num_blocks, SIDE)).eval()
    images, generator = draw_images(5), torch.Generator().manual_seed(0)
    keep = torch.rand(5, num_blocks, generator=generator) < 0.5
    executed = count_macs(lambda batch: (network.scores(batch), network.run(batch, keep)), images)
    assert executed == network.costs.of(keep).sum()


@torch.inference_mode()
def test_predicted_cost_is_the_executed_cost(network, images):
    routed = network.predict(images, 0.1)
    assert len(routed.routes.unique(dim=0)) > 2
    assert count_macs(lambda batch: network.predict(batch, 0.1), images) == routed.macs.sum()


@torch.inference_mode()
def test_dropping_all_costs_the_floor(network, images):
    nothing = torch.zeros(12, U, dtype=torch.bool)
    assert count_macs(lambda batch: network.run(batch, nothing), images) == 12 * network.costs.floor


# --- the decision ---


@torch.inference_mode()
def test_knob_zero_is_the_decision_of_the_paper(network, images):
    scores = network.scores(images)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert torch.equal(network.policy.decide(scores, 0.0), scores >= 0.5)
    assert torch.equal(network(images), network.run(images, scores >= 0.5))


def test_probability_of_exactly_a_half_is_kept():
    assert KeepThreshold([1.0, 0.5]).decide(torch.tensor([[0.5, 0.5]]), 0.0).tolist() == [[True, True]]


def test_price_drops_dear_blocks_first():
    scores = torch.tensor([[0.6, 0.6]])
    assert KeepThreshold([1.0, 0.25], price=0.2).decide(scores, 0.0).tolist() == [[False, True]]


@pytest.mark.parametrize("price", [-0.1, float("inf"), float("nan")])
def test_impossible_price_is_refused(price):
    with pytest.raises(ValueError, match=f"price must be finite and not negative, got {price}"):
        KeepThreshold([1.0], price=price)


@pytest.mark.parametrize("price", [0.0, 0.3, 7.0])
def test_ends_of_the_knob_keep_and_drop_everything(price):
    policy = KeepThreshold([1.0, 0.75, 0.1], price=price)
    scores = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.0, 1.0]])
    dearest, cheapest = policy.knob_range(scores)
    assert policy.decide(scores, dearest).all()
    assert not policy.decide(scores, cheapest).any()
    assert policy.knob_range(scores[:0]) == (dearest, cheapest)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), price=st.floats(0, 3), knobs=st.lists(st.floats(-4, 4), min_size=2, max_size=6))
def test_no_sample_gets_dearer_as_the_knob_grows(seed, price, knobs):
    policy = KeepThreshold([1.0, 0.75, 0.75, 0.1], price=price)
    scores = torch.rand(20, 4, generator=torch.Generator().manual_seed(seed))
    routes = [policy.decide(scores, knob) for knob in sorted(knobs)]
    assert all((cheaper <= dearer).all() for dearer, cheaper in itertools.pairwise(routes))


@torch.inference_mode()
def test_mean_cost_falls_as_the_knob_grows(network, images):
    scores = network.scores(images)
    low, high = network.policy.knob_range(scores)
    costs = [
        float(network.costs.of(network.policy.decide(scores, knob)).mean())
        for knob in torch.linspace(low, high, 21).tolist()
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == network.costs.plain + network.costs.decision
    assert costs[-1] == network.costs.floor + network.costs.decision
    assert len(set(costs)) > 4


# --- the execution ---


@pytest.mark.parametrize("form", ["selected", "sorted", "masked", "one by one"])
@torch.inference_mode()
def test_all_kept_is_the_plain_network_bit_by_bit(network, images, form):
    keep = torch.ones(12, U, dtype=torch.bool)
    plain = network.plain_network()
    expected = torch.cat([plain(image[None]) for image in images]) if form == "one by one" else plain(images)
    assert torch.equal(network.run(images, keep, form=form), expected)


@pytest.mark.parametrize("form", ["selected", "sorted", "masked"])
@torch.inference_mode()
def test_all_dropped_is_stem_shortcuts_and_head(network, images, form):
    backbone = network.backbone
    features = torch.relu(backbone.bn1(backbone.conv1(images)))
    features = nn.functional.pad(nn.functional.avg_pool2d(features, 2), (0, 0, 0, 0, 0, 4))
    expected = backbone.linear(features.mean((2, 3)))
    found = network.run(images, torch.zeros(12, U, dtype=torch.bool), form=form)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_batch_equals_one_by_one_in_any_order(network, images):
    whole = network.predict(images, 0.1)
    for place in reversed(range(12)):
        alone = network.predict(images[place : place + 1], 0.1)
        assert torch.equal(alone.routes[0], whole.routes[place])
        torch.testing.assert_close(alone.outputs[0], whole.outputs[place], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_empty_batch_is_legal(network):
    routed = network.predict(torch.empty(0, 3, SIDE, SIDE))
    assert (routed.outputs.shape, routed.routes.shape, routed.macs.shape) == ((0, 5), (0, U), (0,))


@torch.inference_mode()
def test_evaluation_draws_nothing(network, images):
    before = torch.get_rng_state()
    network.predict(images)
    assert torch.equal(torch.get_rng_state(), before)


@torch.inference_mode()
def test_switch_is_off_after_a_failed_run(network):
    keep = torch.ones(2, U, dtype=torch.bool)
    with pytest.raises(RuntimeError):
        network.run(torch.zeros(2, 3, SIDE, SIDE, dtype=torch.float64), keep)
    assert network.switch.plan is None


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, SIDE, SIDE), (3, SIDE, SIDE)])
def test_images_of_another_shape_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\), got"):
        network.predict(torch.zeros(shape))


@pytest.mark.parametrize("method", ["run", "run_gated"])
@pytest.mark.parametrize(("shape", "copies"), [((2, 5), 1), ((3, U), 1), ((2, U), 2)])
def test_routes_of_another_shape_are_refused(network, method, shape, copies):
    rows = 2 * copies
    message = rf"routes must name each of 6 blocks for {rows} images, \({rows}, 6\), got \({shape[0]}, {shape[1]}\)"
    with pytest.raises(ValueError, match=message):
        getattr(network, method)(torch.zeros(2, 3, SIDE, SIDE), torch.ones(shape, dtype=torch.bool), copies=copies)


def test_unknown_form_is_refused(network, images):
    message = "form must be one of 'selected', 'sorted', 'masked', 'one by one', got 'maksed'"
    with pytest.raises(ValueError, match=message):
        network.run(images, torch.ones(12, U, dtype=torch.bool), form="maksed")


def test_gates_receive_gradients(network, images):
    gates = torch.full((12, U), 0.5, requires_grad=True)
    network.run_gated(images, gates).square().sum().backward()
    assert (gates.grad != 0).any(dim=0).all()


# --- plain networks ---


@torch.inference_mode()
def test_static_network_runs_the_blocks_of_its_policy(network, images):
    keep = torch.tensor([True, False, True, False, True, False])
    static = network.static(keep)
    torch.testing.assert_close(static(images), network.run(images, keep.expand(12, -1)), rtol=0, atol=0)
    assert count_macs(static, images[:1]) == network.costs.of(keep[None]) - network.costs.decision
    assert not addresses(network) & addresses(static)


def test_static_network_needs_a_bit_per_block(network):
    with pytest.raises(ValueError, match=r"routes must name each of 6 blocks for 1 images, \(1, 6\), got \(1, 5\)"):
        network.static(torch.ones(5, dtype=torch.bool))


def test_plain_network_loads_into_the_original_backbone(network):
    make_backbone().load_state_dict(network.plain_network().state_dict(), strict=True)
    assert not addresses(network) & addresses(network.plain_network())


def test_backbone_is_copied():
    backbone = make_backbone()
    names, before = list(backbone.state_dict()), copy.deepcopy(backbone.state_dict())
    network = build(backbone)
    assert list(backbone.state_dict()) == names
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)
    assert not addresses(backbone) & addresses(network)


def test_copy_of_a_network_runs_by_itself(network, images):
    copied = copy.deepcopy(network)
    with torch.inference_mode():
        assert torch.equal(copied.predict(images).outputs, network.predict(images).outputs)
    assert copied.blocks[0].switch is copied.switch


# --- what can be served ---


def test_backbone_with_other_classes_is_refused():
    message = r"backbone SmallResNet cannot be served: for one image of 16 px it returns \(1, 5\), not .* \(1, 7\)"
    with pytest.raises(ValueError, match=message):
        BlockDrop(make_backbone(), num_classes=7, image_px=SIDE, policy="small")


def test_policy_for_other_blocks_is_refused():
    with pytest.raises(ValueError, match=r"policy must give logits \(1, 6\) per image, got \(1, 5\)"):
        BlockDrop(make_backbone(), num_classes=5, image_px=SIDE, policy=small_policy(5, SIDE))


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match=r"policy must be 'resnet8'.* got 'tiny'"):
        BlockDrop(make_backbone(), num_classes=5, image_px=SIDE, policy="tiny")


class Backwards(nn.Module):
    """Runs its blocks in another order than it defines them."""

    def __init__(self):
        super().__init__()
        self.blocks = create_backbone("slim_resnet20_pool", 5).layers[0]
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        for block in reversed(self.blocks):
            x = block(x)
        return self.head(x.mean((2, 3)))


def test_backbone_that_runs_its_blocks_in_another_order_is_refused():
    message = r"backbone Backwards cannot be served: it must run each of its 3 blocks once.* but runs \[2, 1, 0\]"
    with pytest.raises(ValueError, match=message):
        BlockDrop(Backwards(), num_classes=5, image_px=SIDE, policy="small")


def test_block_whose_shortcut_broadcasts_is_refused():
    backbone = make_backbone()
    backbone.layers[1][0].shortcut = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 8, 1))
    message = r"block 3 \(BasicBlock\) cannot be dropped: it gives features \(1, 8, 8, 8\), but .* \(1, 8, 1, 1\)"
    with pytest.raises(ValueError, match=message):
        BlockDrop(backbone, num_classes=5, image_px=SIDE, policy="small")


def test_image_size_that_the_backbone_refuses_is_told():
    backbone = make_backbone()
    backbone.pool = nn.AvgPool2d(8)
    with pytest.raises(ValueError, match="backbone SmallResNet cannot be served: at 8 px it fails with: "):
        BlockDrop(backbone, num_classes=5, image_px=8, policy="small")


# --- storage ---


@torch.inference_mode()
def test_named_network_survives_storage(images, tmp_path):
    network = BlockDrop("slim_resnet20_pool", num_classes=10, image_px=SIDE, policy="small", price=0.1).eval()
    save_network(tmp_path / "model.safetensors", network)
    again = load_network(tmp_path, {"blockdrop": rebuild_blockdrop})
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert torch.equal(again.predict(images, 0.05).outputs, network.predict(images, 0.05).outputs)
    assert again.costs == network.costs
    assert again.storage_config() == network.storage_config()
    assert again.policy.thresholds.tolist() == network.policy.thresholds.tolist()


@torch.inference_mode()
def test_network_of_given_parts_survives_storage_with_its_parts(network, images, tmp_path):
    save_network(tmp_path / "model.safetensors", network)
    parts = {"backbone": make_backbone(), "policy": small_policy(U, SIDE)}
    again = load_network(tmp_path, {"blockdrop": rebuild_blockdrop}, **parts)
    assert torch.equal(again.predict(images).outputs, network.predict(images).outputs)


def test_network_of_a_given_backbone_does_not_load_without_it(network, tmp_path):
    save_network(tmp_path / "model.safetensors", network)
    message = r"the builder of 'blockdrop' does not take this config: missing.*'backbone'"
    with pytest.raises(WeightsError, match=message):
        load_network(tmp_path, {"blockdrop": rebuild_blockdrop}, policy=small_policy(U, SIDE))
