import pytest
import torch
from torch.testing import assert_close

from modicum.adaptive.contract import Group
from modicum.classify.drnet.exiting import ExitingDRNet, StepPlan, build_alone, list_resolutions, name_alone
from modicum.classify.drnet.network import DRNet, rebuild_drnet
from modicum.measuring.counting import count_macs
from modicum.storage.errors import WeightsError
from modicum.storage.weights import load_network, save_network

TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def network(build_exiting):
    return build_exiting()


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_predicting_is_deciding_by_the_scores_and_then_running(build_exiting, images, knob, average):
    network = build_exiting(average=average)
    outputs, routes, macs, _ = network.predict(images, knob)
    assert routes.tolist() == network.policy.decide(network.scores(images), knob).tolist()
    assert_close(outputs, network.run(images, routes), **TOLERANCE)
    assert macs.tolist() == network.costs.of(routes).tolist()


def test_answer_of_a_step_is_that_of_its_resolution_after_its_temperature(network, images):
    logs, every = network.every_step(images).logits, network.every_resolution(images)
    for step, place in enumerate(network.steps):
        temperature = float(network.temperatures.values()[step])
        assert_close(logs[:, step], (every[:, place] / temperature).log_softmax(dim=1), **TOLERANCE)


def test_averaged_answer_is_the_mean_of_the_resolutions_so_far(build_exiting, images):
    own, averaged = (build_exiting(average=average).every_step(images).logits.exp() for average in (False, True))
    assert_close(averaged[:, 2], own.mean(dim=1), **TOLERANCE)


def test_each_resolution_runs_only_the_images_that_have_not_left(network, images):
    seen = []
    hooks = [
        network.resize[place].register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
        for place in network.steps
    ]
    routes = network.predict(images, 0.5).routes
    for hook in hooks:
        hook.remove()
    assert set(routes.tolist()) == {0, 1, 2}
    assert seen == [int((routes >= step).sum()) for step in range(3)]


def test_no_predictor_is_there_and_none_is_paid(network, images):
    assert {name.split(".")[0] for name in network.state_dict()} == {"backbone", "policy", "temperatures"}
    assert network.costs.decision == 0
    for route, price in enumerate(network.costs.per_route):
        assert count_macs(network.run, images[:1], torch.tensor([route])) == price


def test_smaller_resolutions_run_first_and_are_paid_by_all_that_go_on(network):
    smallest, middle, full = network.macs[::-1]
    assert network.costs.route_names == ("16 px", "24 px", "32 px")
    assert network.costs.per_route == (smallest, smallest + middle, smallest + middle + full)
    assert network.costs.plain == full
    assert network.sizes_px == (16, 24, 32)


def test_plain_network_is_the_full_resolution_and_shares_nothing(network, images):
    plain = network.plain_network().eval()
    assert_close(plain(images), network.every_resolution(images)[:, 0], **TOLERANCE)
    assert not {t.data_ptr() for t in plain.parameters()} & {t.data_ptr() for t in network.parameters()}


def test_some_of_the_resolutions_can_be_the_steps(build_exiting, images):
    network = build_exiting(steps=(2, 0))
    assert network.costs.route_names == ("16 px", "32 px")
    assert set(network.predict(images, 0.5).routes.tolist()) == {0, 1}


def test_one_step_at_a_time_gives_the_same_answers(network, images):
    whole, groups, found = network.predict(images, 0.5), [Group.start(images)], {}
    while groups:
        rows, finished, survivors = network.advance(groups.pop(), 0.5)
        groups += survivors
        if finished is not None:
            found |= dict(zip(rows.tolist(), zip(*finished, strict=True), strict=True))
    assert [int(found[row][1]) for row in range(len(images))] == whole.routes.tolist()
    assert_close(torch.stack([found[row][0] for row in range(len(images))]), whole.outputs, **TOLERANCE)


def test_saved_network_has_the_same_steps_and_answers(build_exiting, images, tmp_path):
    network = build_exiting(steps=(2, 0), average=True)
    save_network(tmp_path / "model.safetensors", network)
    loaded = load_network(tmp_path / "model.safetensors", {"drnet": rebuild_drnet})
    assert isinstance(loaded, ExitingDRNet)
    assert (loaded.steps, loaded.average, loaded.budget) == ((2, 0), True, 0.6)
    assert_close(loaded.predict(images, 0.5).outputs, network.predict(images, 0.5).outputs, **TOLERANCE)


def test_file_of_a_network_with_a_predictor_still_opens_as_one(build, tmp_path):
    save_network(tmp_path / "model.safetensors", build())
    assert isinstance(load_network(tmp_path / "model.safetensors", {"drnet": rebuild_drnet}), DRNet)


def test_file_whose_config_does_not_fit_its_kind_is_refused(build_exiting, tmp_path):
    network = build_exiting()
    network._config["predictor"] = "small"
    save_network(tmp_path / "model.safetensors", network)
    with pytest.raises(WeightsError, match=r"refuses its config.*predictor"):
        load_network(tmp_path / "model.safetensors", {"drnet": rebuild_drnet})


@pytest.mark.parametrize("steps", [(), (0, 1), (1, 1), (3, 0), (0, -1)])
def test_steps_that_do_not_grow_or_do_not_exist_are_refused(build_exiting, steps):
    with pytest.raises(ValueError, match="steps must be places among 3 resolutions, from a smaller to a larger one"):
        build_exiting().take_plan(StepPlan(steps, False, torch.ones(len(steps)), torch.zeros(1, 0)))


def test_images_of_another_size_are_refused(network):
    with pytest.raises(ValueError, match=r"must be \(B, 3, 32, 32\)"):
        network.predict(torch.zeros(2, 3, 16, 16), 0.5)


# --- its rivals ---


def test_its_routes_are_a_cascade_already_and_those_of_a_predictor_are_apart(build, network):
    own, apart = list_resolutions(network, None), list_resolutions(build(), None)
    assert (own.work, apart.work) == ("own cascade", "apart")


def test_every_resolution_can_be_timed_by_itself_whether_it_is_a_step_or_not(build_exiting, images):
    network = build_exiting(steps=(2, 0))
    alone = build_alone(network, name_alone(24)).eval()
    assert_close(alone(images), network.every_resolution(images)[:, 1], **TOLERANCE)
    assert build_alone(network, "plain network") is None


def test_network_with_a_predictor_has_nothing_to_be_timed_by_itself(build):
    assert build_alone(build(), name_alone(24)) is None
