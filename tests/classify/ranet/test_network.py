import json
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from modicum.adaptive.calibration import calibrate
from modicum.adaptive.contract import Group
from modicum.adaptive.evidence import executed_outcome, score, tabulate
from modicum.adaptive.exits import CommonThreshold, GainRule, GeometricRule
from modicum.classify.evidence import judge_hits, score_and_tabulate, tabulate_answers
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.segments import State
from modicum.classify.ranet.structure import DIGITS, Structure
from modicum.measuring.counting import count_macs
from modicum.storage.weights import load_network, save_network

STRUCTURE = Structure(
    scales=(1, 2, 2),
    growth_factors=(2, 1, 1),
    bottleneck_factors=(2, 1, 1),
    base_channels=4,
    growth=4,
    layers=2,
)
NUM_EXITS, NUM_CLASSES, SIDE = 6, 5, 8
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}  # fp32: another batch size may mean another order of summation


def build(**options):
    """A network of lite heads whose statistics fit its features and whose exits differ in how sure they are."""
    torch.manual_seed(0)
    network = RANet(STRUCTURE, num_classes=NUM_CLASSES, image_px=SIDE, **{"head": "lite", **options})
    with torch.no_grad():
        for _ in range(3):
            network.train().every_exit(torch.randn(16, 3, SIDE, SIDE))
        for segment in network.segments:
            segment.head[-1].weight.mul_(4)
    return network.eval().requires_grad_(False)


def draw(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, SIDE, SIDE, generator=generator)
    return images * torch.linspace(0.3, 2, count)[:, None, None, None]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def images():
    return draw(24, seed=1)


@pytest.fixture(scope="module")
def everything(network, images):
    return network.every_exit(images)


@pytest.fixture(scope="module", params=["geometric", "gain"])
def fitted(request):
    network = build(exit_rule=request.param, temperature=True)
    fit(network)
    return network


def fit(network):
    logits = network.every_exit(draw(60, seed=2))
    labels = torch.where(torch.arange(60) % 3 > 0, logits[:, -1].argmax(1), torch.arange(60) % NUM_CLASSES)
    network.fit_exits(logits, labels)
    return logits, labels


def samples_seen(network, act):
    """How many samples each segment's dense block and each head saw while ``act()`` ran: two lists of lists."""
    blocks, heads = [[[] for _ in network.segments] for _ in range(2)]
    hooks = []
    for index, segment in enumerate(network.segments):
        for module, seen in ((segment.dense, blocks[index]), (segment.head, heads[index])):
            hooks.append(module.register_forward_hook(lambda m, inputs, out, seen=seen: seen.append(len(inputs[0]))))
    act()
    for hook in hooks:
        hook.remove()
    return blocks, heads


@pytest.fixture(scope="module", params=["geometric", "gain"])
def averaged(request):
    """A fitted network whose answers are means over exits."""
    network = build(exit_rule=request.param, temperature=True, average_exits=True)
    fit(network)
    return network


class TestAveraging:
    def test_answers_are_the_means_of_the_exits_so_far_after_their_temperatures(self, averaged, images):
        logits = averaged.every_exit(images)
        for route in range(NUM_EXITS):
            parts = [(logits[:, k] / averaged.temperatures.values()[k]).softmax(1) for k in range(route + 1)]
            found = averaged.run(images, torch.full((len(images),), route))
            assert_close(found.softmax(1), sum(parts) / len(parts), **TOLERANCE)

    def test_prediction_is_the_run_on_the_decision(self, averaged, images):
        scores, knobs = averaged.scores(images), torch.linspace(*averaged.policy.knob_range(None), 9)[1:-1].tolist()
        for knob in [*knobs, 0.1, 0.5]:
            routes = averaged.policy.decide(scores, knob)
            routed = averaged.predict(images, knob)
            assert torch.equal(routed.routes, routes)
            assert_close(routed.outputs, averaged.run(images, routes), **TOLERANCE)

    def test_one_pass_gives_the_scores_and_what_every_exit_answers(self, averaged, images):
        every, routes = averaged.every_step(images), torch.arange(len(images)) % NUM_EXITS
        assert torch.equal(every.sure, averaged.scores(images))
        assert_close(every.logits[torch.arange(len(images)), routes], averaged.run(images, routes), **TOLERANCE)

    def test_rule_is_fitted_on_the_means(self):
        network = build(exit_rule="geometric", temperature=True, average_exits=True)
        logits, _ = fit(network)
        parts = (logits / network.temperatures.values()[:, None]).softmax(dim=2)
        means = parts.cumsum(dim=1) / torch.arange(1, NUM_EXITS + 1)[:, None]
        assert_close(network.policy.calibration.values(), means.amax(dim=2), **TOLERANCE)

    def test_every_head_up_to_an_images_own_is_computed_and_paid_and_none_after(self, averaged, images):
        routes = torch.tensor([0] * 12 + [1] * 6 + [3] * 6)
        _, heads = samples_seen(averaged, lambda: averaged.run(images, routes))
        assert heads == [[24], [12], [6], [6], [], []]
        for knob in (-1.5, 0.1, 1.0):
            routed = averaged.predict(images, knob)
            assert torch.equal(routed.macs, averaged.costs.of(routed.routes))
            assert count_macs(lambda batch, knob=knob: averaged.predict(batch, knob), images) == routed.macs.sum()

    def test_one_step_at_a_time_gives_the_same_answers(self, averaged, images):
        whole, groups, found = averaged.predict(images, 0.1), [Group.start(images)], {}
        while groups:
            rows, finished, survivors = averaged.advance(groups.pop(), 0.1)
            groups += survivors
            if finished is not None:
                found |= dict(zip(rows.tolist(), zip(*finished[:3], strict=True), strict=True))
        assert [int(found[row][1]) for row in range(len(images))] == whole.routes.tolist()
        assert_close(torch.stack([found[row][0] for row in range(len(images))]), whole.outputs, **TOLERANCE)

    def test_saved_network_goes_on_averaging(self, averaged, images, tmp_path):
        save_network(tmp_path / "model.safetensors", averaged)
        loaded = load_network(tmp_path / "model.safetensors", {"ranet": RANet})
        assert loaded.average_exits
        assert_close(loaded.predict(images, 0.1).outputs, averaged.predict(images, 0.1).outputs, **TOLERANCE)

    def test_plain_network_stays_the_last_exit_alone(self, averaged, images):
        assert torch.equal(averaged.plain_network()(images), averaged.every_exit(images)[:, -1])


class TestExecution:
    @settings(deadline=None, max_examples=20)
    @given(routes=st.lists(st.integers(0, NUM_EXITS - 1), max_size=24))
    def test_any_pattern_of_exits_equals_the_full_network(self, network, images, everything, routes):
        routes = torch.tensor(routes, dtype=torch.int64)
        logits = network.run(images[: len(routes)], routes)
        assert_close(logits, everything[torch.arange(len(routes)), routes], **TOLERANCE)

    @pytest.mark.parametrize("route", range(NUM_EXITS))
    def test_one_image_at_every_exit_equals_the_full_network(self, network, images, everything, route):
        assert_close(network.run(images[3:4], torch.tensor([route])), everything[3:4, route], **TOLERANCE)

    def test_published_heads_equal_too(self):
        network, images = build(head="full"), draw(4, seed=3)
        routes = torch.tensor([5, 0, 3, 5])
        assert_close(network.run(images, routes), network.every_exit(images)[torch.arange(4), routes], **TOLERANCE)

    @settings(deadline=None, max_examples=15)
    @given(rows=st.lists(st.integers(0, 23), max_size=8), knob=st.floats(0.0, 0.9))
    def test_result_depends_neither_on_composition_nor_on_order_of_the_batch(self, network, images, rows, knob):
        whole, part = network.predict(images, knob), network.predict(images[rows], knob)
        assert_close(part.outputs, whole.outputs[rows], **TOLERANCE)
        assert torch.equal(part.routes, whole.routes[rows])
        assert torch.equal(part.macs, whole.macs[rows])

    def test_prediction_is_the_run_on_the_decision(self, fitted, images):
        scores, knobs = fitted.scores(images), torch.linspace(*fitted.policy.knob_range(None), 9)[1:-1].tolist()
        for knob in [*knobs, 0.1, 0.5]:
            routes = fitted.policy.decide(scores, knob)
            routed = fitted.predict(images, knob)
            assert torch.equal(routed.routes, routes)
            assert_close(routed.outputs, fitted.run(images, routes), **TOLERANCE)

    def test_finer_subnetworks_never_see_who_left(self, network, images):
        blocks, heads = samples_seen(network, lambda: network.run(images, torch.tensor([0] * 12 + [1] * 6 + [3] * 6)))
        assert blocks == [[24], [12], [6], [6], [], []]
        assert heads == [[24], [12], [6], [6], [], []]

    def test_one_that_left_is_not_carried_along(self, network, images):
        blocks, heads = samples_seen(network, lambda: network.run(images, torch.tensor([0] + [5] * 23)))
        assert blocks == heads == [[24], [23], [23], [23], [23], [23]]

    def test_exit_that_nobody_can_take_is_not_computed(self, images):
        network = build()
        fit(network)
        knob = -1.5  # p = 4.5: the first share is below a sample
        closed = [not is_open for is_open in network.policy.open_exits(knob)]
        _, heads = samples_seen(network, lambda: network.predict(images, knob))
        assert closed[0]
        assert not closed[-1]
        assert [not seen for seen in heads] == closed

    def test_one_pass_scores_images_and_tells_what_every_exit_answers(self, fitted, images):
        ids, batches = tuple(map(str, range(24))), [(images, torch.arange(24) % NUM_CLASSES)]
        apart = score(fitted, batches, ids).scores, tabulate_answers(fitted, batches)
        passes = []
        hook = fitted.stem.register_forward_hook(lambda *_: passes.append(1))
        scored, table = score_and_tabulate(fitted, batches, ids)
        hook.remove()
        assert len(passes) == 1
        assert torch.equal(scored.scores, apart[0])
        assert torch.equal(table.predicted, apart[1].predicted)
        assert_close(table.confidence, apart[1].confidence, **TOLERANCE)

    @pytest.mark.parametrize("knob", [-3.0, -0.5, 0.0, 0.4, 1.0])
    def test_reported_cost_is_the_executed_cost(self, fitted, images, knob):
        routed = fitted.predict(images, knob)
        assert count_macs(lambda batch: fitted.predict(batch, knob), images) == routed.macs.sum()
        assert torch.equal(fitted.executed_macs(routed.routes, knob), routed.macs)

    @pytest.mark.parametrize("knob", [-3.0, -1.5, -0.5, 0.0, 0.4, 1.0, 3.0])
    def test_price_is_an_upper_bound_of_what_is_executed_and_exact_where_no_exit_is_closed(self, fitted, images, knob):
        routed, closed = fitted.predict(images, knob), ~torch.tensor(fitted.policy.open_exits(knob))
        priced = fitted.costs.of(routed.routes)
        assert routed.macs.mean() <= priced.mean()
        assert torch.equal(routed.macs < priced, closed.cumsum(0)[routed.routes] > 0)

    def test_price_without_a_decision_is_that_of_the_last_exit_alone(self):
        network = build(head="full")
        plain, images = network.plain_network(), draw(1, seed=1)
        assert count_macs(plain, images) == network.costs.plain < network.costs.per_route[-1]

    def test_price_of_the_last_route_is_that_of_all_exits(self, network, images):
        assert count_macs(network.every_exit, images[:1]) == network.costs.per_route[-1]

    def test_plain_network_computes_the_last_head_alone(self, network, images):
        plain = network.plain_network()
        blocks, heads = samples_seen(plain, lambda: plain(images))
        assert blocks == [[24]] * NUM_EXITS
        assert heads == [[]] * (NUM_EXITS - 1) + [[24]]

    @pytest.mark.parametrize("knob", [-0.5, 0.1, 0.4])
    def test_image_that_is_not_a_number_leaves_at_the_last_exit_and_disturbs_no_other(self, fitted, images, knob):
        damaged = images[:3].clone()
        damaged[1] = float("nan")
        found, rest = fitted.predict(damaged, knob), fitted.predict(images[[0, 2]], knob)
        assert found.routes[1] == NUM_EXITS - 1
        assert found.outputs[1].isnan().all()
        assert torch.equal(found.routes[[0, 2]], rest.routes)
        assert_close(found.outputs[[0, 2]], rest.outputs, **TOLERANCE)

    def test_plain_network_answers_with_the_last_exit_and_shares_nothing(self, network, images, everything):
        plain = network.plain_network()
        assert torch.equal(plain(images), everything[:, -1])
        assert not {t.data_ptr() for t in plain.parameters()} & {t.data_ptr() for t in network.parameters()}

    def test_segments_run_one_by_one_and_hand_on_only_what_is_read(self, network, images, everything):
        state, handed_on = State.start(network.stem(images)), []
        for index, segment in enumerate(network.segments):
            state = segment(state)
            assert torch.equal(segment.head(state.x), everything[:, index])
            handed_on.append((len(state.recorded), len(state.maps)))
        assert handed_on == [(1, 2), (2, 2), (3, 1), (4, 1), (0, 0), (0, 0)]  # nobody reads what the finest records

    def test_empty_batch_is_legal(self, fitted):
        routed = fitted.predict(torch.empty(0, 3, SIDE, SIDE), 0.5)
        assert (routed.outputs.shape, routed.routes.shape, routed.macs.shape) == ((0, NUM_CLASSES), (0,), (0,))

    def test_memory_layout_does_not_matter(self, network, images, everything):
        assert_close(network(images.contiguous(memory_format=torch.channels_last)), everything, **TOLERANCE)

    def test_odd_sizes_equal_the_full_network(self):
        torch.manual_seed(0)
        network = RANet(STRUCTURE, num_classes=3, image_px=9, head="lite").eval().requires_grad_(False)
        images, routes = torch.randn(3, 3, 9, 9), torch.tensor([5, 2, 0])
        expected = network.every_exit(images)[torch.arange(3), routes]
        assert_close(network.run(images, routes), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class TestTraining:
    def test_gradient_of_all_exits_together_reaches_every_parameter(self):
        torch.manual_seed(0)
        network = RANet(STRUCTURE, num_classes=NUM_CLASSES, image_px=SIDE)
        logits = network(torch.randn(8, 3, SIDE, SIDE))
        nn.functional.cross_entropy(logits.flatten(0, 1), torch.arange(48) % NUM_CLASSES).backward()
        assert logits.shape == (8, NUM_EXITS, NUM_CLASSES)
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_initialisation_is_the_published_one(self):
        torch.manual_seed(0)
        network = RANet(DIGITS, num_classes=10).requires_grad_(False)
        convolution = network.segments[1].head[0][0]
        assert float(convolution.weight.std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
        assert not network.segments[1].head[-1].bias.any()
        assert float(network.stem.finest[0].weight.abs().max()) <= (1 / 27) ** 0.5  # torch's own, uniform


class TestFitting:
    def test_unfitted_network_leaves_at_a_common_threshold(self, network, images):
        scores = network.scores(images)
        assert isinstance(network.policy, CommonThreshold)
        reached = torch.cat([scores[:, :-1] >= 0.7, torch.ones(24, 1, dtype=torch.bool)], dim=1)
        assert torch.equal(network.predict(images, 0.3).routes, reached.int().argmax(1))

    def test_scores_are_the_largest_probabilities_over_the_temperature(self, fitted, images):
        temperatures = fitted.temperatures.values()
        expected = (fitted.every_exit(images) / temperatures[:, None]).softmax(2).amax(2)
        assert (temperatures != 1).all()
        assert_close(fitted.scores(images), expected)

    def test_temperatures_are_an_option(self):
        network = build()
        fit(network)
        assert torch.equal(network.temperatures.values(), torch.ones(NUM_EXITS))
        assert isinstance(network.policy, GeometricRule)

    @pytest.mark.parametrize("exit_rule", ["geometric", "gain"])
    def test_what_was_fitted_is_saved_with_the_weights(self, tmp_path, images, exit_rule):
        network = build(exit_rule=exit_rule, temperature=True)
        fit(network)
        save_network(tmp_path / "model.safetensors", network)
        loaded = load_network(tmp_path / "model.safetensors", {"ranet": RANet})
        assert type(loaded.policy) is {"geometric": GeometricRule, "gain": GainRule}[exit_rule]
        assert loaded.structure == network.structure
        for knob in (-1.0, 0.05, 0.3, 1.0):
            before, after = network.predict(images, knob), loaded.predict(images, knob)
            assert torch.equal(before.outputs, after.outputs)
            assert torch.equal(before.routes, after.routes)

    def test_weights_have_the_names_that_stored_files_have(self, fitted):
        names = {re.sub(r"\.\d+", "", name).rsplit(".", 1)[0] for name in fitted.state_dict()}
        rule = {"calibration"} if fitted.exit_rule == "geometric" else {"knots", "correctness"}
        fusion = ("layers", "from_coarser", "append_coarser", "transition")
        parts = {*(f"fusions.{part}" for part in fusion), "dense.layers", "head"}
        expected = {f"segments.{part}" for part in parts} | {"stem.finest", "stem.coarser", "temperatures"}
        assert names == expected | {f"policy.{table}" for table in rule}

    def test_stored_config_of_lists_builds_the_network_again(self, fitted):
        config = json.loads(json.dumps(fitted.storage_config()))
        assert config["structure"]["scales"] == [1, 2, 2]
        assert RANet(**config).storage_config() == fitted.storage_config()

    def test_unfitted_network_is_saved_as_such(self, tmp_path, network, images):
        save_network(tmp_path / "model.safetensors", network)
        loaded = load_network(tmp_path / "model.safetensors", {"ranet": RANet})
        assert isinstance(loaded.policy, CommonThreshold)
        assert torch.equal(loaded(images), network(images))

    def test_loading_forgets_thresholds_solved_before(self):
        network, other = build(), build()
        fit(network)
        other.fit_exits(3 * network.every_exit(draw(60, seed=7)), torch.arange(60) % NUM_CLASSES)
        wanted = other.policy.thresholds(0.3)
        assert not torch.equal(network.policy.thresholds(0.3), wanted)
        network.load_state_dict(other.state_dict())
        assert torch.equal(network.policy.thresholds(0.3), wanted)

    def test_half_precision_does_not_round_what_was_fitted(self, fitted, images):
        scores, knob = fitted.scores(images), 0.2
        cast = RANet(**fitted.storage_config())
        cast.load_state_dict(fitted.state_dict())
        cast.eval().bfloat16()
        assert torch.equal(cast.policy.decide(scores, knob), fitted.policy.decide(scores, knob))
        assert cast.predict(images.bfloat16(), knob).outputs.dtype == torch.bfloat16

    def test_no_more_rows_are_kept_than_the_limit(self):
        network = build()
        network.fit_exits(torch.randn(10_007, NUM_EXITS, NUM_CLASSES), torch.arange(10_007) % NUM_CLASSES)
        assert network.policy.calibration.values().shape == (10_000, NUM_EXITS)
        assert network.storage_config()["calibration_rows"] == 10_000

    @pytest.mark.parametrize("share", [0.45, 0.7])
    def test_calibration_meets_a_budget(self, fitted, share):
        images = draw(60, seed=2)
        batches = [(images, fitted.every_exit(images)[:, -1].argmax(1))]
        scored = score(fitted, batches, tuple(map(str, range(60))))
        outcome = tabulate(fitted, batches, judge_hits).outcome
        target = share * fitted.costs.plain
        found = calibrate(scored, outcome, fitted.policy, fitted.costs, target)
        assert found.achieved <= target
        dearer = fitted.policy.decide(scored.scores, found.knob - 1e-9)
        assert fitted.costs.of(dearer).mean() > target
        routes = fitted.policy.decide(scored.scores, found.knob)
        assert torch.equal(outcome(routes).each(), executed_outcome(fitted, batches, judge_hits)(routes).each())


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"head": "small"}, "head must be one of 'full', 'lite', got 'small'"),
            ({"exit_rule": "lagrange"}, "exit_rule must be one of 'geometric', 'gain', got 'lagrange'"),
            ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
            ({"image_px": 3}, "image_px must be at least 4, for coarsest maps of 2 positions a side, got 3"),
        ],
    )
    def test_argument_without_meaning(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            RANet(STRUCTURE, **{"num_classes": 5, **wrong})

    @pytest.mark.parametrize("shape", [(2, 3, 9, 8), (2, 1, 8, 8), (3, 8, 8)])
    @pytest.mark.parametrize(
        "act", [RANet.scores, lambda n, x: n.predict(x, 0.0), lambda n, x: n.run(x, torch.zeros(2))]
    )
    def test_images_of_another_shape(self, network, shape, act):
        with pytest.raises(ValueError, match=r"images must be \(B, 3, 8, 8\), got"):
            act(network, torch.zeros(shape))

    @pytest.mark.parametrize(
        ("routes", "message"),
        [([0, 6], r"routes must lie in \[0, 6\), got \[0, 6\]"), ([0], r"routes must be \(2,\), one exit per image")],
    )
    def test_routes_that_do_not_exist(self, network, images, routes, message):
        with pytest.raises(ValueError, match=message):
            network.run(images[:2], torch.tensor(routes))

    @pytest.mark.parametrize(
        ("shape", "labels", "message"),
        [
            ((0, 6, 5), 0, r"logits must be \(N, 6, 5\) with one label each, N at least 1, got \(0, 6, 5\) for 0"),
            ((3, 6, 4), 3, r"logits must be \(N, 6, 5\) .*, got \(3, 6, 4\) for 3 labels"),
            ((3, 6, 5), 2, r"logits must be \(N, 6, 5\) .*, got \(3, 6, 5\) for 2 labels"),
        ],
    )
    def test_calibration_samples_of_another_shape(self, network, shape, labels, message):
        with pytest.raises(ValueError, match=message):
            network.fit_exits(torch.zeros(shape), torch.zeros(labels, dtype=torch.int64))

    def test_calibration_logits_that_are_not_finite(self, network):
        logits = torch.full((3, NUM_EXITS, NUM_CLASSES), float("nan"))
        with pytest.raises(ValueError, match="logits must be finite"):
            network.fit_exits(logits, torch.zeros(3, dtype=torch.int64))

    @pytest.mark.parametrize("rows", [-1, 10_001])
    @pytest.mark.parametrize("exit_rule", ["geometric", "gain"])
    def test_stored_size_that_no_network_has(self, exit_rule, rows):
        config = {**build(exit_rule=exit_rule).storage_config(), "calibration_rows": rows}
        with pytest.raises(ValueError, match=f"calibration_rows cannot be {rows} for the exit rule '{exit_rule}'"):
            RANet(**config)
