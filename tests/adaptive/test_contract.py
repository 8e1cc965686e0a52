"""What must hold for every adaptive network, shown on the three kinds; nothing here asks which kind it has."""

from collections import Counter
from itertools import groupby

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from modicum.adaptive.calibration import calibrate
from modicum.adaptive.contract import Group
from modicum.adaptive.curve import trace_curve
from modicum.adaptive.efficiency import measure_efficiency, measure_route_times
from modicum.adaptive.samples import join, take
from modicum.measuring.counting import count_macs, count_network_macs

ROWS = st.lists(st.integers(0, 39), max_size=6)  # any samples, in any order, some of them twice, or none
KNOBS = st.integers(0, 9)
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}  # fp32: another batch size may mean another order of summation


def through_parts(model, run):
    """How many samples each part of ``model`` sees in each of its calls during ``run()``."""
    calls = [[] for _ in model.parts]

    def count(seen):
        return lambda part, inputs, output: seen.append(len(inputs[0]))

    hooks = [part.register_forward_hook(count(seen)) for part, seen in zip(model.parts, calls, strict=True)]
    run()
    for hook in hooks:
        hook.remove()
    return calls


@settings(deadline=None, max_examples=15)
@given(rows=ROWS, knob=KNOBS)
def test_result_depends_neither_on_composition_nor_on_order_of_the_batch(case, rows, knob):
    whole = case.model.predict(case.images, case.knobs[knob])
    part = case.model.predict(case.images[rows], case.knobs[knob])
    assert_close(part.outputs, whole.outputs[rows], **TOLERANCE)
    assert torch.equal(part.routes, whole.routes[rows])
    assert torch.equal(part.macs, whole.macs[rows])


@pytest.mark.parametrize("knob", range(10))
def test_batch_equals_its_samples_one_by_one(case, knob):
    whole = case.model.predict(case.images, case.knobs[knob])
    singles = [case.model.predict(image[None], case.knobs[knob]) for image in case.images]
    assert_close(whole.outputs, torch.cat([single.outputs for single in singles]), **TOLERANCE)
    assert torch.equal(whole.routes, torch.cat([single.routes for single in singles]))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_run_equals_the_masked_reference(case, seed):
    mixed = [case.model.policy.decide(case.scored.scores, knob) for knob in case.knobs]
    choice = torch.randint(len(mixed), (len(case.images),), generator=torch.Generator().manual_seed(seed))
    routes = torch.stack([mixed[knob][row] for row, knob in enumerate(choice)])
    assert_close(case.model.run(case.images, routes), case.model.run_masked(case.images, routes), **TOLERANCE)


@pytest.mark.parametrize("knob", range(10))
def test_predict_equals_running_what_is_decided(case, knob):
    predicted = case.model.predict(case.images, case.knobs[knob])
    routes = case.model.policy.decide(case.model.scores(case.images), case.knobs[knob])
    assert torch.equal(predicted.routes, routes)
    assert_close(predicted.outputs, case.model.run(case.images, routes), **TOLERANCE)


def step_of(waiting):
    """What has to be equal for samples to share a step: their group, and their knob where they depend on one."""
    _, knob, group = waiting
    return str(group.key), "any" if group.is_decided else str(knob)


def take_all_steps(model, calls):
    """Answers several calls (images, knob) step by step, sharing the steps; a list of samples' answers for each."""
    waiting = [
        ((call, row), knob, group)
        for call, (images, knob) in enumerate(calls)
        for row, group in enumerate(Group.start(images).split())
    ]
    answers = {}
    while waiting:
        batches = [list(batch) for _, batch in groupby(sorted(waiting, key=step_of), key=step_of)]
        waiting = []
        for batch in batches:
            samples, knobs, groups = zip(*batch, strict=True)
            rows, finished, survivors = model.advance(Group.join(groups), knobs[0])
            for place, row in enumerate(rows.tolist()):
                answers[samples[row]] = take(finished, slice(place, place + 1))
            ones = [one for survivor in survivors for one in survivor.split()]
            waiting += [(samples[int(one.rows)], knobs[int(one.rows)], one) for one in ones]
    return [join([answers[call, row] for row in range(len(images))]) for call, (images, _) in enumerate(calls)]


@pytest.mark.parametrize("knobs", [(2, 2), (3, 6), (0, 9)])
def test_calls_that_share_their_steps_get_the_answers_of_their_own(case, knobs):
    calls = [(case.images[:12], case.knobs[knobs[0]]), (case.images[6:20], case.knobs[knobs[1]])]
    for found, (images, knob) in zip(take_all_steps(case.model, calls), calls, strict=True):
        expected = case.model.predict(images, knob)
        assert_close(found.outputs, expected.outputs, **TOLERANCE)
        assert torch.equal(found.routes, expected.routes)
        assert torch.equal(found.macs, expected.macs)


def test_samples_of_different_groups_share_no_step(case):
    group = Group.start(case.images[:1])
    with pytest.raises(ValueError, match="one step needs samples of one group, got"):
        Group.join([group, group._replace(key=5)])


def test_empty_batch_is_legal(case):
    outputs, routes, macs, _ = case.model.predict(case.images[:0], case.knobs[4])
    assert outputs.shape == (0, 7)
    assert len(routes) == len(macs) == 0


@settings(deadline=None, max_examples=15)
@given(rows=ROWS, knob=KNOBS)
def test_cost_reported_is_the_cost_executed(case, rows, knob):
    images, knob = case.images[rows], case.knobs[knob]
    reported = case.model.predict(images, knob).macs
    assert reported.dtype == torch.float64
    assert float(reported.sum()) == count_macs(lambda: case.model.predict(images, knob))


@pytest.mark.parametrize("knob", range(10))
def test_each_part_sees_the_samples_that_chose_it_once_and_no_other(case, knob):
    routes = case.model.policy.decide(case.scored.scores, case.knobs[knob])
    calls = through_parts(case.model, lambda: case.model.predict(case.images, case.knobs[knob]))
    expected = [[samples] if samples else [] for samples in case.model.samples_through_parts(routes)]
    assert calls == expected


def test_knobs_of_these_tests_leave_some_part_uncalled_and_mix_routes(case):
    decided = [case.model.policy.decide(case.scored.scores, knob) for knob in case.knobs]
    through = [case.model.samples_through_parts(routes) for routes in decided]
    assert any(0 in samples for samples in through)
    assert any(len(set(case.model.costs.names(routes))) >= 3 for routes in decided)


@settings(deadline=None, max_examples=30)
@given(shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_no_route_gets_more_expensive_as_the_knob_grows(case, shares):
    highest, cheapest = case.model.policy.knob_range(case.scored.scores)
    low, high = (highest + share * (cheapest - highest) for share in sorted(shares))
    before, after = (case.model.costs.of(case.model.policy.decide(case.scored.scores, knob)) for knob in (low, high))
    assert (after <= before).all()


def test_knob_range_goes_from_the_most_expensive_to_the_cheapest_routes(case):
    ends = case.model.policy.knob_range(case.scored.scores)
    highest, cheapest = (case.model.costs.of(case.model.policy.decide(case.scored.scores, knob)) for knob in ends)
    assert highest.tolist() == [case.model.costs.plain + case.model.costs.decision] * 40
    assert len(set(cheapest.tolist())) == 1
    assert cheapest[0] < highest[0]


def test_plain_cost_is_that_of_the_plain_network(case):
    assert case.model.costs.plain == count_network_macs(case.model.plain_network(), case.images[:1].shape)


def test_plain_network_shares_nothing(case):
    own = {parameter.data_ptr() for parameter in case.model.parameters()}
    assert own.isdisjoint(parameter.data_ptr() for parameter in case.model.plain_network().parameters())


def test_evaluation_accepts_every_kind(case):
    model, costs = case.model, case.model.costs
    calibration = calibrate(case.scored, case.outcome, model.policy, costs, target=0.6 * costs.plain)
    curve = trace_curve(case.scored, case.outcome, model.policy, costs, table=case.table, num_shuffles=2)
    (efficiency,) = measure_efficiency(model, model.plain_network(), case.images, [20], knob=calibration.knob, rounds=1)
    times = measure_route_times(model, model.plain_network(), case.images, batch_size=2, rounds=1)
    in_time = calibrate(case.scored, case.outcome, model.policy, times, target=2 * (times.plain + times.decision))

    assert calibration.achieved <= calibration.target
    assert len(curve.routed) == len(curve.random) > 5
    assert efficiency.saved_in_theory == pytest.approx(1 - calibration.achieved / costs.plain)
    assert times.unit == in_time.unit == "ms"


@pytest.mark.parametrize("knob", range(10))
def test_counts_per_route_add_up_to_the_samples(case, knob):
    routes = case.model.predict(case.images, case.knobs[knob]).routes
    assert Counter(case.model.costs.names(routes)).total() == len(case.images)
