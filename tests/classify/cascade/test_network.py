import pytest
import torch
from classify_cascade import STEPS, build
from torch.testing import assert_close

from modicum.adaptive.contract import Group
from modicum.adaptive.evidence import score
from modicum.classify.cascade.members import build_alone
from modicum.classify.cascade.network import Price, Step, TrunkCascade, name_step, price_steps
from modicum.classify.evidence import score_and_tabulate, tabulate_answers
from modicum.classify.guarantee import Images, score_and_classify
from modicum.measuring.counting import count_macs
from modicum.storage.weights import load_network, save_network

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("confidence", ["margin", "probability", "entropy", "agreement"])
def test_predicting_is_deciding_by_the_scores_and_then_running(images, knob, average, confidence):
    network = build(average=average, confidence=confidence)
    outputs, routes, macs, sure = network.predict(images, knob)
    decided = network.policy.decide(network.scores(images), knob)
    assert routes.tolist() == decided.tolist()
    assert_close(outputs, network.run(images, decided), **TOLERANCE)
    assert macs.tolist() == network.costs.of(routes).tolist()
    assert (sure.isnan() == (torch.arange(3) > routes[:, None])).all()  # told of every step that ran, and of no other
    assert_close(sure.nan_to_num(), network.scores(images).masked_fill(sure.isnan(), 0), **TOLERANCE)


def test_images_do_leave_at_every_step(cascade, images):
    assert set(cascade.predict(images, 0.5).routes.tolist()) == {0, 1, 2}


def test_each_step_runs_only_the_images_that_have_not_left(cascade, images):
    seen = []
    hooks = [head.register_forward_hook(lambda head, args, out: seen.append(len(args[0]))) for head in cascade.heads]
    routes = cascade.predict(images, 0.5).routes
    for hook in hooks:
        hook.remove()
    assert seen == [int((routes >= step).sum()) for step in range(3)]


def test_priced_multiply_adds_are_those_that_are_executed(cascade, images):
    for route, price in enumerate(cascade.costs.per_route):
        assert count_macs(cascade.run, images[:1], torch.tensor([route])) == price


def test_plain_network_is_the_whole_trunk_at_full_size_and_costs_what_is_stated(cascade, images):
    plain = cascade.plain_network().eval()
    _, pooled = cascade.trunk(images, 0, 2)
    assert_close(plain(images), cascade.plain_head(pooled), **TOLERANCE)
    assert count_macs(plain, images[:1]) == cascade.costs.plain
    plain.head.weight.zero_()
    assert cascade.plain_head.weight.abs().sum() > 0


def test_size_and_exit_by_itself_runs_what_its_first_step_would_and_costs_as_much(cascade, images):
    alone = build_alone(cascade, name_step(Step(32, 0), cascade.trunk)).eval()
    assert count_macs(alone, images[:1]) == cascade.costs.per_route[0]
    alone.head.load_state_dict(cascade.heads[0].state_dict())
    answered = cascade.run(images, torch.zeros(12, dtype=torch.int64))
    assert_close(alone(images).log_softmax(dim=1), answered, **TOLERANCE)


def test_size_that_is_no_step_can_be_built_by_its_name_and_an_unknown_name_cannot(cascade, images):
    assert build_alone(cascade, "40 px")(images).shape == (12, 5)
    assert build_alone(cascade, "40 px to the moon") is None


def test_second_exit_of_a_size_pays_only_what_is_left_of_the_trunk():
    prices = {Step(32, 0): Price(10, 1), Step(32, 1): Price(30, 2), Step(48, 1): Price(70, 2)}
    assert price_steps([Step(*step) for step in STEPS], prices) == [11, 33, 105]


def test_one_step_at_a_time_gives_the_same_answers(cascade, images):
    whole, groups, found = cascade.predict(images, 0.5), [Group.start(images)], {}
    while groups:
        rows, finished, survivors = cascade.advance(groups.pop(), 0.5)
        groups += survivors
        if finished is not None:
            found |= dict(zip(rows.tolist(), zip(*finished, strict=True), strict=True))
    assert [int(found[row][1]) for row in range(len(images))] == whole.routes.tolist()
    assert_close(torch.stack([found[row][0] for row in range(len(images))]), whole.outputs, **TOLERANCE)


def test_averaged_answer_is_the_mean_of_the_members_own(images):
    own, averaged = (
        build(average=False).every_step(images).logits.exp(),
        build(average=True).every_step(images).logits.exp(),
    )
    assert_close(averaged[:, 1], own[:, :2].mean(dim=1), **TOLERANCE)


def test_saved_network_answers_alike(cascade, images, tmp_path):
    save_network(tmp_path / "model.safetensors", cascade)
    loaded = load_network(tmp_path / "model.safetensors", {"cascade": TrunkCascade})
    assert_close(loaded.predict(images, 0.5).outputs, cascade.predict(images, 0.5).outputs, **TOLERANCE)


def test_empty_batch_gives_no_answers(cascade):
    outputs, routes, macs, _ = cascade.predict(torch.empty(0, 3, 48, 48), 0.5)
    assert (outputs.shape, len(routes), len(macs)) == ((0, 5), 0, 0)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (3, 48, 48), (2, 1, 48, 48)])
def test_images_of_another_shape_are_refused_by_name(cascade, shape):
    with pytest.raises(ValueError, match=r"must be \(B, 3, 48, 48\)"):
        cascade.predict(torch.zeros(shape), 0.5)


@pytest.mark.parametrize("steps", [[], [(48, 0), (32, 0)], [(32, 0), (32, 0)], [(64, 0)], [(32, 2)]])
def test_steps_that_are_out_of_order_or_do_not_exist_are_refused(steps):
    with pytest.raises(ValueError, match="step"):
        TrunkCascade("test_efficientnet", steps, num_classes=5, image_px=48, num_exits=2)


def test_route_that_is_no_step_is_refused(cascade, images):
    with pytest.raises(ValueError, match=r"routes must lie in \[0, 3\)"):
        cascade.run(images, torch.full((12,), 3))


def test_steps_are_named_by_size_and_by_the_stage_at_which_they_leave(cascade):
    assert cascade.costs.route_names == ("32 px to stage 4", "32 px", "48 px")
    assert name_step(Step(32, 0), cascade.trunk) == "32 px to stage 4"


def test_one_pass_tells_what_scoring_and_running_every_route_tell(cascade, images):
    batches = [(images[:7], torch.arange(7)), (images[7:], torch.arange(5))]
    ids = tuple(map(str, range(12)))
    scored, table = score_and_tabulate(cascade, batches, ids)
    assert_close(scored.scores, score(cascade, batches, ids).scores, **TOLERANCE)
    alone = tabulate_answers(cascade, batches)
    assert_close(table.logs, alone.logs, **TOLERANCE)
    assert torch.equal(table.predicted, alone.predicted)
    assert torch.equal(table.top5, alone.top5)
    routes = torch.arange(12) % 3
    assert torch.equal(table.classes(routes), cascade.run(images, routes).argmax(dim=1))


def test_classes_on_any_routes_come_from_one_pass(cascade, images, monkeypatch):
    routes = torch.arange(12) % 3
    expected = cascade.run(images, routes).argmax(dim=1)
    given = Images(tuple(map(str, range(12))), lambda places: (images[places],))
    scores, classes = score_and_classify(cascade, given)
    monkeypatch.setattr(type(cascade), "run", lambda *_: pytest.fail("run again"))
    assert torch.equal(classes(routes), expected)
    assert_close(scores, cascade.scores(images), **TOLERANCE)
