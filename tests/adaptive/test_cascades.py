import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.cascades import NUM_LEVELS, NestedThresholds, blank_thresholds, fit_thresholds, refine
from modicum.adaptive.knobs import KnobError

SEEDS = st.integers(0, 2**31)
COSTS = torch.tensor([0.1, 0.3, 1.3], dtype=torch.float64)


def draw(seed, count=200, members=3):
    """Confidences, and hits that are the likelier the surer a member is."""
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(count, members, generator=generator)
    return confidence, torch.rand(count, members, generator=generator) < confidence


def leave(thresholds, confidence):
    """The first member that each sample reaches, by a loop over samples."""
    places = []
    for sample in confidence:
        reached = [bool(sample[m] >= thresholds[m]) for m in range(len(thresholds))]
        places.append(reached.index(True) if any(reached) else len(thresholds))
    return torch.tensor(places)


def knobs_of(rule):
    """The knob at which each row of thresholds begins, as the rule documents it."""
    return [row / max(rule.rows - 1, 1) for row in range(rule.rows)]


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, members=st.integers(2, 4))
def test_costs_and_worths_of_every_row_are_those_of_a_loop_over_samples(seed, members):
    confidence, hits = draw(seed, 40, members)
    costs = torch.tensor([0.1, 0.3, 1.3, 2.0], dtype=torch.float64)[:members]
    fitted = fit_thresholds(confidence, hits, costs)
    for row, thresholds in enumerate(fitted.thresholds):
        places = leave(thresholds, confidence)
        assert float(fitted.costs[row]) == pytest.approx(float(costs[places].mean()))
        assert float(fitted.worths[row]) == pytest.approx(float(hits[torch.arange(40), places].double().mean()))


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_no_threshold_rises_along_the_sequence_so_no_sample_ever_costs_more(seed):
    confidence, hits = draw(seed)
    fitted = fit_thresholds(confidence, hits, COSTS)
    assert (fitted.thresholds.diff(dim=0) <= 0).all()
    rule = NestedThresholds(fitted.thresholds)
    fresh, _ = draw(seed + 1)
    costs = [COSTS[rule.decide(fresh, knob)] for knob in knobs_of(rule)]
    assert all((cheaper <= dearer).all() for dearer, cheaper in itertools.pairwise(costs))


def test_first_row_lets_nobody_leave_early_and_the_last_lets_all():
    confidence, hits = draw(0)
    rule = NestedThresholds(fit_thresholds(confidence, hits, COSTS).thresholds)
    assert rule.decide(confidence, 0.0).tolist() == [2] * 200
    assert rule.open_exits(0.0) == (False, False, True)
    assert set(rule.decide(draw(1)[0], 1.0).tolist()) == {0}


def test_confidence_that_knows_the_hits_gives_their_accuracy_at_the_least_cost():
    hits = torch.tensor([[True, True], [False, True]]).repeat(100, 1)
    confidence = torch.tensor([[0.9, 0.5], [0.1, 0.5]]).repeat(100, 1)
    fitted = fit_thresholds(confidence, hits, torch.tensor([0.1, 1.1], dtype=torch.float64))
    best = int(fitted.worths.argmax())
    assert float(fitted.worths[best]) == 1.0
    assert float(fitted.costs[fitted.worths == 1.0].min()) == pytest.approx(0.6)


def test_single_member_has_one_row_that_costs_what_it_costs():
    confidence, hits = draw(0, members=1)
    fitted = fit_thresholds(confidence, hits, torch.tensor([1.0]))
    rule = NestedThresholds(fitted.thresholds)
    assert fitted.costs.tolist() == [1.0]
    assert (rule.rows, rule.decide(confidence, 0.7).unique().tolist()) == (1, [0])


@given(rows=st.integers(2, 300))
def test_knob_of_a_row_gives_that_row_and_lasts_until_the_next(rows):
    rule = NestedThresholds(torch.linspace(1, 0, rows)[:, None])
    for row, knob in enumerate(knobs_of(rule)):
        assert rule.thresholds(knob).tolist() == rule.table.values()[row].tolist()
        assert rule.thresholds(knob - 0.5 / rows / rows).tolist() == rule.table.values()[max(row - 1, 0)].tolist()


def test_knobs_outside_the_range_are_its_ends_and_no_number_is_refused():
    rule = NestedThresholds(torch.tensor([[0.9], [0.1]]))
    assert rule.thresholds(-3.0).tolist() == rule.thresholds(0.0).tolist()
    assert rule.thresholds(9.0).tolist() == rule.thresholds(1.0).tolist()
    with pytest.raises(KnobError, match="finite"):
        rule.thresholds(float("nan"))


def test_confidence_equal_to_the_threshold_leaves_and_one_that_is_no_number_stays():
    rule = NestedThresholds(torch.tensor([[0.5]]))
    assert rule.leaves(0, torch.tensor([0.5, float("nan")]), 0.0).tolist() == [True, False]


def test_thresholds_survive_half_precision_and_storage():
    rule = NestedThresholds(torch.tensor([[0.9999999], [0.1]]))
    other = blank_thresholds(2, 2)
    other.load_state_dict(rule.half().state_dict())
    assert torch.equal(other.table.values(), torch.tensor([[0.9999999], [0.1]]))


@pytest.mark.parametrize("confidence", [torch.empty(0, 3), torch.rand(4, 2)])
def test_tables_that_do_not_match_are_refused_with_their_shapes(confidence):
    with pytest.raises(ValueError, match=r"must be \(N, M\)"):
        fit_thresholds(confidence, torch.ones(len(confidence), 3), COSTS)


def test_more_members_than_the_search_can_hold_are_refused():
    confidence, hits = draw(0, 10, 5)
    with pytest.raises(ValueError, match="at most 4 members, got 5"):
        fit_thresholds(confidence, hits, torch.arange(5.0))


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, members=st.integers(2, 3))
def test_refined_sequence_is_nested_and_priced_as_by_a_loop_over_samples(seed, members):
    confidence, hits = draw(seed, 60, members)
    costs = COSTS[:members]
    fitted = fit_thresholds(confidence, hits, costs)
    fine = refine(fitted, confidence, hits, costs)
    assert (fine.thresholds.diff(dim=0) <= 0).all()
    for row, thresholds in enumerate(fine.thresholds):
        places = leave(thresholds, confidence)
        assert float(fine.costs[row]) == pytest.approx(float(costs[places].mean()))
        assert float(fine.worths[row]) == pytest.approx(float(hits[torch.arange(60), places].double().mean()))


def test_refined_sequence_passes_the_first_one_in_small_steps():
    confidence, hits = draw(0, 4000, 2)
    costs = COSTS[:2]
    fitted = fit_thresholds(confidence, hits, costs)
    fine = refine(fitted, confidence, hits, costs)
    assert {tuple(row) for row in fitted.thresholds.tolist()} <= {tuple(row) for row in fine.thresholds.tolist()}
    step = float(costs[1] - costs[0]) / (NUM_LEVELS - 1)
    assert float(-fine.costs.diff().min()) < step / 4
    assert float(-fitted.costs.diff().min()) > step


def test_sequence_of_a_single_row_stays_as_it_is():
    confidence, hits = draw(0, 20, 1)
    fitted = fit_thresholds(confidence, hits, COSTS[:1])
    assert refine(fitted, confidence, hits, COSTS[:1]) is fitted
