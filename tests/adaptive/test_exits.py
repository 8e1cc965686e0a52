import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.exits import (
    CommonThreshold,
    FrozenTable,
    GeometricRule,
    blank_exit_rule,
    fit_exit_rule,
    fit_gain_rule,
    geometric_shares,
    solve_thresholds,
    spread_rows,
)

SEEDS = st.integers(0, 2**31)
COSTS = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)


def draw(seed, count=40, levels=None):
    """Confidences (count, 4) in [0.1, 1]; of few levels, if asked, so that they tie."""
    drawn = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed))
    drawn = drawn if levels is None else (drawn * levels).round() / levels
    return 0.1 + 0.9 * drawn


def draw_hits(confidence, seed):
    return torch.rand(confidence.shape, generator=torch.Generator().manual_seed(seed + 1)) < confidence


def create_rule(name):
    """A rule by its name, fitted on 200 samples where there is something to fit."""
    confidence = draw(2, 200)
    return {
        "common": lambda: CommonThreshold(4),
        "geometric": lambda: GeometricRule(confidence),
        "gain": lambda: fit_gain_rule(confidence, draw_hits(confidence, 2), COSTS / 5),
    }[name]()


def thresholds_by_loops(confidence, shares):
    """The published solver: a loop over exits, and over the samples of each, most confident first."""
    num_samples, num_exits = confidence.shape
    out, thresholds = [False] * num_samples, [1e8] * (num_exits - 1) + [-1e8]
    for k in range(num_exits - 1):
        wanted, count = math.floor(num_samples * float(shares[k])), 0
        for i in confidence[:, k].argsort(descending=True).tolist():
            if not out[i]:
                count += 1
                if count == wanted:
                    thresholds[k] = float(confidence[i, k])
                    break
        out = [out[i] or bool(confidence[i, k] >= thresholds[k]) for i in range(num_samples)]
    return torch.tensor(thresholds)


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, count=st.integers(1, 50), levels=st.sampled_from([None, 3, 8]), knob=st.floats(-6, 45))
def test_thresholds_equal_those_of_the_loops_bit_by_bit(seed, count, levels, knob):
    confidence, shares = draw(seed, count, levels), geometric_shares(knob, 4)
    assert torch.equal(solve_thresholds(confidence, shares), thresholds_by_loops(confidence, shares))


def test_shares_are_those_that_were_wanted_where_nothing_ties():
    confidence = draw(0, 1000)
    routes = GeometricRule(confidence).decide(confidence, -math.log(0.8))
    wanted = [math.floor(1000 * 0.8**k / sum(0.8**j for j in range(1, 5))) for k in range(1, 4)]
    assert routes.bincount(minlength=4).tolist()[:3] == wanted


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, knobs=st.tuples(st.floats(-6, 45), st.floats(-6, 45)))
def test_mean_cost_does_not_rise_with_the_knob_up_to_whole_samples(seed, knobs):
    confidence = draw(seed)
    rule = GeometricRule(confidence)
    dearer, cheaper = (float(COSTS[rule.decide(confidence, knob)].mean()) for knob in sorted(knobs))
    assert cheaper <= dearer + 4 * 5 / 40 + 1e-9  # each share may lose a sample, which then pays up to 5


@pytest.mark.parametrize("knob", [-0.5, 0.1, 0.4])
@pytest.mark.parametrize("make", ["common", "geometric", "gain"])
def test_confidence_that_is_not_a_number_leaves_at_the_last_exit_alone(make, knob):
    rule, unknown = create_rule(make), torch.full((3, 4), float("nan"))
    assert [rule.leaves(index, unknown[:, index], knob).tolist() for index in range(4)] == [[False] * 3] * 3 + [
        [True] * 3
    ]
    assert rule.decide(unknown, knob).tolist() == [3] * 3


def test_ends_of_the_geometric_knob_are_the_last_and_the_first_exit():
    confidence = draw(1)
    rule = GeometricRule(confidence)
    dearest, cheapest = rule.knob_range(confidence)
    assert rule.decide(confidence, dearest).tolist() == [3] * 40
    assert rule.decide(confidence, cheapest).tolist() == [0] * 40


@pytest.mark.parametrize("knob", [-2.0, 0.0, 0.3, 3.0])
@pytest.mark.parametrize("make", ["common", "geometric", "gain"])
def test_nobody_leaves_at_an_exit_that_is_not_open(make, knob):
    rule = create_rule(make)
    taken = rule.decide(torch.linspace(0, 1, 501)[:, None].expand(-1, 4), knob).unique()
    assert rule.open_exits(knob)[-1]
    assert all(rule.open_exits(knob)[index] for index in taken.tolist())


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, knobs=st.lists(st.floats(-8, 8), min_size=2, max_size=5))
def test_no_sample_gets_dearer_with_the_knob_of_the_gain_rule(seed, knobs):
    confidence = draw(seed)
    rule = fit_gain_rule(confidence, draw_hits(confidence, seed), COSTS / 5)
    routes = torch.stack([rule.decide(confidence, knob) for knob in sorted(knobs)])
    assert (routes.diff(dim=0) <= 0).all()


def test_ends_of_the_gain_knob_are_the_last_and_the_first_exit():
    confidence = draw(3)
    rule = fit_gain_rule(confidence, draw_hits(confidence, 3), COSTS / 5)
    dearest, cheapest = rule.knob_range(confidence)
    assert rule.decide(confidence, dearest).tolist() == [3] * 40
    assert rule.decide(confidence, cheapest).tolist() == [0] * 40


def test_gain_rule_leaves_where_the_next_exit_would_not_help():
    """Below 0.5 the first exit is wrong and the last right; above, both are right."""
    confidence = torch.linspace(0, 1, 400)[:, None].expand(-1, 2).contiguous()
    correct = torch.stack([confidence[:, 0] >= 0.5, torch.ones(400, dtype=torch.bool)], dim=1)
    rule = fit_gain_rule(confidence, correct, torch.tensor([0.4, 1.0]))
    asked = torch.tensor([[0.1, 0.0], [0.45, 0.0], [0.55, 0.0], [0.9, 0.0]])
    assert rule.decide(asked, 0.5).tolist() == [1, 1, 0, 0]
    assert rule.decide(asked, 1 / 0.6 + 0.01).tolist() == [0, 0, 0, 0]  # a gain of 1 for 0.6 of the cost


def test_worth_may_be_any_share_of_a_full_answer():
    """The second exit adds 0.2 where the first is sure, 0.6 where it is not, for 0.6 of the cost."""
    confidence = torch.linspace(0, 1, 400)[:, None].expand(-1, 2).contiguous()
    worth = torch.stack([torch.where(confidence[:, 0] >= 0.5, 0.7, 0.3), torch.full((400,), 0.9)], dim=1)
    rule = fit_gain_rule(confidence, worth, torch.tensor([0.4, 1.0]))
    asked = torch.tensor([[0.1, 0.0], [0.9, 0.0]])
    assert [rule.decide(asked, knob).tolist() for knob in (0.3, 0.5, 1.1)] == [[1, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("name", ["geometric", "gain"])
def test_blank_rule_takes_what_a_fitted_one_learnt(name):
    confidence = draw(5, 200)
    fitted = fit_exit_rule(name, confidence, draw_hits(confidence, 5), COSTS / 5)
    blank = blank_exit_rule(name, fitted.rows, COSTS / 5)
    blank.load_state_dict(fitted.state_dict())
    asked = draw(6)
    for knob in (-0.3, 0.1, 0.8):
        assert torch.equal(blank.decide(asked, knob), fitted.decide(asked, knob))


def test_a_rule_that_needs_no_fitting_stores_no_rows():
    assert [create_rule(name).rows for name in ("common", "geometric", "gain")] == [None, 200, 0]


def test_tables_of_the_gain_rule_are_the_isotonic_regression_at_the_knots():
    confidence = draw(4, 300)
    hits = draw_hits(confidence, 4)
    rule = fit_gain_rule(confidence, hits, COSTS / 5)
    tables = rule.correctness.values()
    assert (tables.diff(dim=2) >= 0).all()
    for at, later in ((0, 0), (0, 3), (2, 3)):
        weighted = np.interp(confidence[:, at], rule.knots.values()[at], tables[at, later])
        assert weighted.mean() == pytest.approx(float(hits[:, later].float().mean()), abs=0.02)


@pytest.mark.parametrize(("knob", "routes"), [(-0.1, [3, 3]), (0.2, [1, 3]), (0.5, [0, 2]), (1.0, [0, 0])])
def test_common_threshold_is_one_minus_the_knob(knob, routes):
    scores = torch.tensor([[0.7, 0.9, 1.0, 1.0], [0.3, 0.4, 0.6, 0.1]])
    assert CommonThreshold(4).decide(scores, knob).tolist() == routes


def test_frozen_numbers_survive_half_precision():
    values = 1 - torch.rand(3, 4) * 1e-4
    assert torch.equal(FrozenTable(values).half().values(), values)


def test_rows_are_spread_evenly():
    assert spread_rows(torch.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert spread_rows(torch.arange(3), 4).tolist() == [0, 1, 2]
