import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from modicum.adaptive.curve import sweep_knobs
from modicum.adaptive.evidence import score
from modicum.classify.backbones import SmallResNet
from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks, rebuild_resolution_and_blocks
from modicum.classify.resolution_and_blocks.pricing import join_routes
from modicum.storage.weights import load_network, save_network

NUM_CLASSES, RESOLUTIONS, NUM_BLOCKS = 5, (32, 24, 16), 6


def make_network():
    torch.manual_seed(0)
    network = ResolutionAndBlocks(
        SmallResNet(NUM_CLASSES, widths=(8, 16, 16), blocks=2),
        num_classes=NUM_CLASSES,
        resolutions=RESOLUTIONS,
        predictor="small",
        policy="small",
    )
    for index in range(len(RESOLUTIONS)):  # statistics that differ from one resolution to the next
        network.train().drnet.at_resolution(torch.randn(8, 3, 32, 32) * (1 + index), index)
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return make_network()


def images(count, seed=1):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def random_routes(count, seed=2):
    generator = torch.Generator().manual_seed(seed)
    resolutions = torch.randint(len(RESOLUTIONS), (count,), generator=generator)
    return join_routes(resolutions, torch.rand(count, NUM_BLOCKS, generator=generator) < 0.5)


@torch.inference_mode()
def test_all_blocks_at_a_resolution_are_the_network_of_that_resolution(network):
    x = images(4)
    for index in range(len(RESOLUTIONS)):
        routes = join_routes(torch.full((4,), index), torch.ones(4, NUM_BLOCKS, dtype=torch.bool))
        assert torch.equal(network.run(x, routes), network.drnet.at_resolution(x, index))
    assert torch.allclose(network.plain_network().eval()(x), network.drnet.at_resolution(x, 0), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 7))
@torch.inference_mode()
def test_routed_run_equals_the_masked_reference_and_one_image_at_a_time(network, seed, count):
    x, routes = images(count, seed), random_routes(count, seed)
    routed = network.run(x, routes)
    every = network.every_resolution(x, routes[:, 1:].float())
    assert torch.allclose(routed, every[torch.arange(count), routes[:, 0]], atol=1e-5)
    alone = torch.cat([network.run(x[i : i + 1], routes[i : i + 1]) for i in range(count)])
    assert torch.allclose(routed, alone, atol=1e-5)


@torch.inference_mode()
def test_empty_batch_is_legal(network):
    assert network.predict(images(0)).outputs.shape == (0, NUM_CLASSES)


@torch.inference_mode()
def test_cost_reported_is_the_cost_executed(network):
    x, routes = images(6), random_routes(6)
    for row in range(6):
        with FlopCounterMode(display=False) as counter:
            network.run(x[row : row + 1], routes[row : row + 1])
        reported = float(network.costs.of(routes[row : row + 1])) - network.costs.decision
        # The resizing is a product with fixed matrices, which the tables take for free, as the published ones do.
        with FlopCounterMode(display=False) as resizing:
            network.drnet.resize[int(routes[row, 0])](x[row : row + 1])
        assert (counter.get_total_flops() - resizing.get_total_flops()) // 2 == reported


def test_price_of_all_blocks_is_that_of_the_resolution(network):
    for index, costs in enumerate(network.costs.per_resolution):
        assert costs.plain == network.drnet.costs.per_route[index]


@torch.inference_mode()
def test_mean_cost_falls_from_everything_to_nothing_as_the_knob_rises(network):
    batches = [(images(16), torch.zeros(16, dtype=torch.int64))]
    scored = score(network, batches, tuple(map(str, range(16))))
    low, high = network.policy.knob_range(scored.scores)
    knobs = [low, *sweep_knobs(scored, network.policy, network.costs, 9), high]
    costs = [float(network.costs.of(network.policy.decide(scored.scores, knob)).mean()) for knob in knobs]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == network.costs.plain + network.costs.decision
    assert costs[-1] == pytest.approx(network.costs.per_resolution[-1].floor + network.costs.decision)


@torch.inference_mode()
def test_predict_is_run_on_what_was_decided(network):
    x = images(5)
    for knob in (-1.0, 0.0, 0.7, 50.0):
        routed = network.predict(x, knob)
        routes = network.policy.decide(network.scores(x), knob)
        assert torch.equal(routed.routes, routes)
        assert torch.equal(routed.outputs, network.run(x, routes))


def test_names_tell_resolution_and_blocks(network):
    routes = join_routes(torch.tensor([0, 2]), torch.tensor([[True] * NUM_BLOCKS, [False] * NUM_BLOCKS]))
    assert network.costs.names(routes) == ["32 px, 6 of 6", "16 px, 0 of 6"]


def test_milliseconds_are_asked_for_each_resolution_and_block(network):
    asked = []

    def milliseconds(route):
        asked.append(route)
        return 10.0 - route[0, 0].item() + route[0, 1:].sum().item()

    timed = network.costs.in_milliseconds(milliseconds, 0.5, 9.0)
    assert len(asked) == len(RESOLUTIONS) * (1 + NUM_BLOCKS)
    routes = random_routes(4)
    assert timed.of(routes).tolist() == pytest.approx([milliseconds(route[None]) + 0.5 for route in routes])


def test_given_backbone_is_not_changed():
    backbone = SmallResNet(NUM_CLASSES, widths=(8, 16, 16), blocks=2)
    before = copy.deepcopy(backbone.state_dict())
    ResolutionAndBlocks(backbone, num_classes=NUM_CLASSES, resolutions=(32, 16), predictor="small", policy="small")
    assert list(backbone.state_dict()) == list(before)


def test_saved_network_loads_with_equal_answers(tmp_path):
    torch.manual_seed(1)
    network = ResolutionAndBlocks(
        "cifar_resnet8", num_classes=3, resolutions=(32, 16), predictor="small", policy="small"
    ).eval()
    save_network(tmp_path / "both.safetensors", network)
    builders = {"resolution-and-blocks": rebuild_resolution_and_blocks}
    loaded = load_network(tmp_path / "both.safetensors", builders)
    x = images(3)
    assert torch.equal(loaded.predict(x).outputs, network.predict(x).outputs)


def test_backbone_without_residual_blocks_is_refused():
    with pytest.raises(ValueError, match="has no block that can be bypassed"):
        ResolutionAndBlocks("vgg11_bn", num_classes=3, resolutions=(64, 32), predictor="small", policy="small")


@pytest.mark.parametrize("shape", [(2, 3, 24, 24), (2, 1, 32, 32), (3, 32, 32)])
@pytest.mark.parametrize("call", ["scores", "run"])
def test_images_of_another_shape_are_refused(network, shape, call):
    arguments = [random_routes(2)] if call == "run" else []
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\), the full resolution, got"):
        getattr(network, call)(torch.zeros(shape), *arguments)


@pytest.mark.parametrize("shape", [(3, 1 + NUM_BLOCKS), (2, NUM_BLOCKS), (2,)])
def test_routes_of_another_shape_are_refused(network, shape):
    message = r"routes must give 2 images a resolution and each of 6 blocks, \(2, 7\), got \("
    with pytest.raises(ValueError, match=message):
        network.run(images(2), torch.ones(shape, dtype=torch.int64))


@pytest.mark.parametrize("resolution", [-1, 3])
def test_routes_to_a_resolution_that_is_not_there_are_refused(network, resolution):
    routes = random_routes(2)
    routes[1, 0] = resolution
    with pytest.raises(ValueError, match=f"routes must name resolutions from 0 to 2, got {resolution}"):
        network.run(images(2), routes)
