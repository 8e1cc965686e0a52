import math
from collections import Counter
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.calibration import (
    Calibration,
    bisect_knob,
    calibrate,
    check_disjoint,
    describe_share,
    hash_ids,
    relative_budget,
)
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.evidence import Scored
from modicum.adaptive.knobs import BudgetError, KnobError
from modicum.adaptive.worth import MeanWorth
from modicum.storage.errors import ModicumError

IDS = st.lists(st.text(max_size=4), unique=True, max_size=8)


def mean_cost(case, knob):
    return float(case.model.costs.of(case.model.policy.decide(case.scored.scores, knob)).mean())


def calibrate_case(case, target):
    return calibrate(case.scored, case.outcome, case.model.policy, case.model.costs, target)


def reachable(case, share):
    """The target at ``share`` of the way from the mean cost of the cheapest routes to that of the most expensive."""
    highest, cheapest = (mean_cost(case, knob) for knob in case.model.policy.knob_range(case.scored.scores))
    return cheapest + share * (highest - cheapest)


class TestCalibrate:
    @settings(deadline=None, max_examples=20)
    @given(share=st.floats(0, 1.2))
    def test_target_is_met_with_the_least_knob(self, case, share):
        target = reachable(case, share)
        calibration = calibrate_case(case, target)
        assert calibration.achieved == mean_cost(case, calibration.knob) <= target
        highest, cheapest = case.model.policy.knob_range(case.scored.scores)
        just_below = calibration.knob - (cheapest - highest) * 1e-15  # decisions round in the last digits
        assert calibration.knob == highest or mean_cost(case, just_below) > target

    @settings(deadline=None, max_examples=20)
    @given(share=st.floats(0, 1))
    def test_least_threshold_is_the_confidence_of_a_sample(self, exit_case, share):
        target = reachable(exit_case, share)
        candidates = [-0.5, *(1 - exit_case.scored.scores.double()).unique().tolist()]
        least = min(knob for knob in candidates if mean_cost(exit_case, knob) <= target)
        assert calibrate_case(exit_case, target).knob == pytest.approx(least, abs=1e-15)

    def test_it_says_what_it_was_chosen_for_and_on(self, case):
        target = reachable(case, 0.5)
        calibration = calibrate_case(case, target)
        routes = case.model.policy.decide(case.scored.scores, calibration.knob)
        assert asdict(calibration) == {
            "target": target,
            "unit": "MAC",
            "knob": calibration.knob,
            "achieved": float(case.model.costs.of(routes).mean()),
            "plain": case.model.costs.plain,
            "worth": case.outcome(routes).total(),
            "num_samples": 40,
            "data_hash": hash_ids(f"image{i}" for i in range(40)),
            "routes": dict(Counter(case.model.costs.names(routes))),
            "guarantee": None,
        }

    def test_budget_below_the_cheapest_routes_is_refused(self, exit_case):
        with pytest.raises(BudgetError, match=r"budget 7000 MAC per sample is below the cheapest routes, 7024 MAC"):
            calibrate_case(exit_case, target=7000)

    def test_target_must_be_a_number(self, case):
        with pytest.raises(BudgetError, match="budget nan MAC per sample"):
            calibrate_case(case, target=math.nan)

    def test_no_samples_are_refused(self, case):
        nothing = Scored((), case.scored.scores[:0])
        with pytest.raises(ValueError, match="calibration needs at least one sample"):
            calibrate(nothing, case.outcome, case.model.policy, case.model.costs, target=1)


class TestBisectKnob:
    @settings(deadline=None)
    @given(
        steps=st.lists(st.floats(-1, 1), min_size=1, max_size=10),
        target=st.integers(0, 10),
    )
    def test_least_knob_of_a_staircase(self, steps, target):
        steps = sorted(steps)

        def stairs(knob):  # a step down at each of `steps`
            return float(sum(knob < step for step in steps))

        least = -2.0 if target >= len(steps) else steps[len(steps) - target - 1]
        assert bisect_knob(stairs, target, (-2.0, 2.0)) == pytest.approx(least, abs=4 * 2.0**-60)

    def test_generous_budget_gives_the_highest_knob(self):
        assert bisect_knob(lambda knob: 5 - knob, 9, (-1.0, 1.0)) == -1

    def test_range_may_fall(self):
        assert bisect_knob(lambda knob: 5 + knob, 5, (1.0, -1.0)) == pytest.approx(0, abs=1e-15)

    def test_error_names_the_unit(self):
        with pytest.raises(BudgetError, match=r"^budget 0\.5 ms per sample is below the cheapest routes, 1\.25 ms$"):
            bisect_knob(lambda knob: 1.25, 0.5, (0.0, 1.0), "ms")


def test_budget_error_is_one_that_callers_catch():
    assert issubclass(BudgetError, ModicumError)
    assert issubclass(BudgetError, ValueError)


def test_disjoint_sets_pass():
    check_disjoint(["a", "b"], ["c"])


def test_overlap_is_refused_with_examples():
    match = r"^4 samples are in both calibration and test data, e\.g\. b, c, d: split them anew$"
    with pytest.raises(ValueError, match=match):
        check_disjoint("edcba", iter("xbcde"))


@given(ids=IDS, order=st.randoms(use_true_random=False))
def test_hash_does_not_depend_on_order(ids, order):
    shuffled = ids.copy()
    order.shuffle(shuffled)
    assert hash_ids(shuffled) == hash_ids(ids)


@given(first=IDS, second=IDS)
def test_hash_tells_sets_apart(first, second):
    assert (hash_ids(first) == hash_ids(second)) == (set(first) == set(second))


def test_hash_tells_names_with_line_breaks_apart():
    assert hash_ids(["a\nb"]) != hash_ids(["a", "b"])


def test_hash_takes_file_names_of_any_encoding():
    assert hash_ids([b"caf\xe9.png".decode(errors="surrogateescape")]) != hash_ids(["cafe.png"])


def test_relative_budget_is_a_share_of_the_plain_network():
    assert relative_budget(0.25, MenuCosts(("a", "b"), (8.0, 2.0), decision=1.0)) == 2


@pytest.mark.parametrize("budget", [0.0, -0.5, 1.01, 50, math.inf, math.nan])
def test_relative_budget_must_be_a_share(budget):
    with pytest.raises(BudgetError, match=rf"^budget must be a share of the plain .* cost, in \(0, 1\], got {budget}$"):
        relative_budget(budget, MenuCosts(("a",), (1.0,)))


def test_a_share_that_cannot_be_met_is_refused_in_shares():
    costs = MenuCosts(("a", "b"), (8.0, 2.0), decision=1.0)
    message = r"^budget 0\.25 of the plain network's multiply-adds is below the cheapest routes, 0\.375 of the plain"
    with pytest.raises(BudgetError, match=message):
        bisect_knob(lambda knob: 3.0, 2.0, (0.0, 1.0), describe=describe_share(costs))


@pytest.mark.parametrize(("unit", "what"), [("MAC", "multiply-adds"), ("px", "pixels"), ("ms", "time")])
def test_a_share_names_what_it_is_a_share_of(unit, what):
    assert describe_share(MenuCosts(("a",), (8.0,), unit=unit))(2.0) == f"0.25 of the plain network's {what}"


@pytest.mark.parametrize("knob", [math.inf, math.nan, "1"])
def test_calibration_with_a_knob_that_is_no_number_is_refused(knob):
    with pytest.raises(KnobError, match=f"knob must be a finite number, got {knob}"):
        Calibration(1.0, "MAC", knob, 1.0, 2.0, 0.5, 4, "0")


def test_worth_of_hits_is_their_share():
    scored = Scored(("a", "b", "c", "d"), torch.zeros(4, 2))
    hits = torch.tensor([True, False, True, True])

    class Always:
        def decide(self, scores, knob):
            return torch.zeros(len(scores), dtype=torch.int64)

        def knob_range(self, scores):
            return 0.0, 1.0

    assert calibrate(scored, lambda routes: MeanWorth(hits), Always(), MenuCosts(("only",), (1.0,)), 1.0).worth == 0.75
