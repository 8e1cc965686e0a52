"""Policies of zooming in the adaptive core: routes, prices that never raise the cost, budgets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.calibration import calibrate, relative_budget
from modicum.adaptive.curve import trace_curve
from modicum.adaptive.evidence import Scored, cached
from modicum.adaptive.knobs import BudgetError, KnobError
from modicum.adaptive.worth import MeanWorth
from modicum.detect.zoom.costs import WindowCosts, fit_time, pixel_costs
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.planning import Plan, plan_by_density
from modicum.detect.zoom.policies import PrefixPolicy, RungPolicy, fit_route, plan_scores, rung_scores, to_route
from modicum.detect.zoom.windows import Grid, enumerate_windows

GRID = Grid.of(640, 384, columns=20)
LATTICES = enumerate_windows(GRID)
COSTS = pixel_costs(0.25, [(640, 384)])
COARSE = 160 * 96


def random_gains(seed, grid=GRID):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [0.9 * grid.width, 0.9 * grid.height], (10, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 60, (10, 2))], axis=1)
    return BoxGains.of(boxes, random.uniform(-0.2, 1, 10), grid)


GAINS = [random_gains(seed) for seed in range(20)]
SCORES = plan_scores([plan_by_density(gains, LATTICES) for gains in GAINS])
SCORED = Scored(tuple(map(str, range(20))), SCORES)


def earned(routes):
    """What routes earn in the images of `GAINS`: a worth per image."""
    values = []
    for gains, route in zip(GAINS, routes, strict=True):
        rest = gains
        for window in route[1:].double().numpy():
            rest = rest.without(window)
        values.append(gains.total() - rest.total())
    return MeanWorth(torch.tensor(values))


class TestPrefix:
    policy = PrefixPolicy()

    def test_a_route_is_the_image_and_what_its_plan_takes(self):
        plans = [plan_by_density(gains, LATTICES) for gains in GAINS]

        routes = self.policy.decide(SCORES, 3.0)

        for plan, route in zip(plans, routes, strict=True):
            assert route[0].tolist() == [0, 0, 640, 384]
            assert route[1:].tolist() == plan.at(3.0).tolist()

    @settings(deadline=None, max_examples=30)
    @given(st.floats(0, 50), st.floats(0, 50), st.permutations(range(20)))
    def test_no_set_of_images_costs_more_at_a_higher_price(self, first, second, rows):
        scores = SCORES[rows[:7]]
        low, high = sorted([first, second])

        assert COSTS.of(self.policy.decide(scores, low)).sum() >= COSTS.of(self.policy.decide(scores, high)).sum()

    def test_the_range_of_prices_goes_from_whole_images_to_no_windows(self):
        low, high = self.policy.knob_range(SCORES)

        assert set(COSTS.names(self.policy.decide(SCORES, low))) == {"whole image"}
        assert set(COSTS.names(self.policy.decide(SCORES, high))) == {"no windows"}
        assert high > low == 0

    def test_images_without_proposals_are_decided_too(self):
        nothing = plan_scores([plan_by_density(BoxGains.of(np.zeros((0, 4)), np.zeros(0), GRID), LATTICES)])

        assert self.policy.decide(nothing, 0.5)[0].tolist() == [[0, 0, 640, 384]]
        assert self.policy.knob_range(nothing)[1] > 0

    @pytest.mark.parametrize("price", [float("nan"), float("inf")])
    def test_a_price_that_is_no_number_is_refused(self, price):
        with pytest.raises(KnobError):
            self.policy.decide(SCORES, price)

    def test_calibration_meets_a_budget_of_pixels(self):
        found = calibrate(SCORED, earned, self.policy, COSTS, relative_budget(0.4, COSTS))

        assert found.unit == "px"
        assert found.achieved <= found.target == 0.4 * 640 * 384
        assert found.achieved > 0.25 * 640 * 384

    def test_a_budget_below_the_coarse_pass_is_refused(self):
        with pytest.raises(BudgetError, match="below the cheapest routes"):
            calibrate(SCORED, earned, self.policy, COSTS, COARSE / 2)

    def test_curve_falls_in_cost_and_beats_the_same_windows_dealt_at_random(self):
        curve = trace_curve(SCORED, cached(earned), self.policy, COSTS, num_points=6, num_shuffles=5)

        costs = [point.cost for point in curve.routed]
        assert costs == sorted(costs, reverse=True)
        for routed, random in list(zip(curve.routed, curve.random, strict=True))[1:-1]:
            assert routed.worth > random.worth

    def test_a_plan_of_more_steps_than_scores_hold_is_refused(self):
        plan = Plan(GRID.whole, np.zeros((3, 4)), np.ones(3))

        with pytest.raises(ValueError, match="plans of 2 steps, got one of 3"):
            plan_scores([plan], steps=2)


class TestFittingRoutes:
    route = torch.tensor([[0, 0, 640, 384], [0, 0, 160, 96], [480, 288, 640, 384], [240, 144, 400, 240]])

    def test_a_route_of_its_own_image_stays(self):
        assert fit_route(self.route, 640, 384) is self.route

    def test_windows_keep_size_and_relative_place_in_another_image(self):
        moved = fit_route(self.route, 1280, 400)

        assert moved.tolist() == [[0, 0, 1280, 400], [0, 0, 160, 96], [1120, 304, 1280, 400], [560, 152, 720, 248]]

    def test_windows_larger_than_the_image_become_it(self):
        assert fit_route(self.route, 100, 50)[1:].unique(dim=0).tolist() == [[0, 0, 100, 50]]


class TestRungs:
    prices = (1.0, 2.0, 4.0)

    @staticmethod
    def windows(*counts):
        """Windows of one image at each rung: so many quarters."""
        return [LATTICES[1].windows()[:count] for count in counts]

    def scores(self, *images):
        return rung_scores([self.windows(*counts) for counts in images], [GRID.whole] * len(images))

    def test_a_rung_that_costs_more_than_the_one_below_is_replaced(self):
        policy = RungPolicy.fit(self.scores((3, 5, 1), (3, 2, 0)), self.prices, COSTS)

        assert policy.used == (0, 0, 2)
        assert policy.num_replaced == 1
        assert [len(route) - 1 for route in policy.decide(self.scores((3, 5, 1)), 2.0)] == [3]

    def test_mean_cost_falls_on_calibration_images_whatever_the_network_does(self):
        random = np.random.default_rng(0)
        scores = self.scores(*(random.integers(0, 6, 3) for _ in range(10)))
        policy = RungPolicy.fit(scores, self.prices, COSTS)

        costs = [float(COSTS.of(policy.decide(scores, price)).mean()) for price in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0)]

        assert costs == sorted(costs, reverse=True)

    @pytest.mark.parametrize(("knob", "price"), [(0.1, 1.0), (1.0, 1.0), (1.9, 1.0), (2.0, 2.0), (100.0, 4.0)])
    def test_a_knob_takes_the_rung_at_or_below_it(self, knob, price):
        assert RungPolicy(self.prices, (0, 1, 2)).price_at(knob) == price

    def test_prices_that_do_not_rise_are_refused(self):
        with pytest.raises(ValueError, match="rising prices"):
            RungPolicy((2.0, 1.0), (0, 1))


ROUTES = [
    torch.tensor([[0, 0, 640, 384]]),
    torch.tensor([[0, 0, 640, 384], [0, 0, 160, 96], [100, 0, 260, 96]]),
    torch.tensor([[0, 0, 640, 384], [0, 0, 640, 384]]),
    torch.tensor([[0, 0, 1000, 500], [0, 0, 10, 10]]),
]


class TestCosts:
    def test_pixels_count_the_coarse_pass_and_overlaps_each_time(self):
        coarse, windows = [COARSE] * 3 + [250 * 125], [0, 2 * 160 * 96, 640 * 384, 100]

        assert COSTS.of(ROUTES).tolist() == [sum(pair) for pair in zip(coarse, windows, strict=True)]
        assert (COSTS.decision, COSTS.plain, COSTS.menu()) == (COARSE, 640 * 384, None)

    def test_routes_are_named_by_their_windows(self):
        assert COSTS.names(ROUTES) == ["no windows", "2 windows", "whole image", "1 window"]

    def test_costs_of_images_of_mixed_size_are_compared_with_their_mean(self):
        costs = WindowCosts(lambda w, h: w, lambda w, h: w * h, ((10, 2), (30, 2)))

        assert (costs.decision, costs.plain) == (20, 40)

    def test_milliseconds_are_fitted_to_timed_routes(self):
        timed = WindowCosts(COSTS.coarse, COSTS.fine, ((640, 384),), ((320, 192), (160, 96)), "px")

        def clock(routes):
            windows = routes[0][1:]
            return (
                50
                + 4.0 * len(windows)
                + 1e-4 * float(((windows[:, 2] - windows[:, 0]) * (windows[:, 3] - windows[:, 1])).sum())
            )

        in_ms = timed.in_milliseconds(clock, decision=30.0, plain=None)

        assert in_ms.unit == "ms"
        assert in_ms.of(ROUTES[:2]).tolist() == pytest.approx([30, 30 + 8 + 1e-4 * 2 * 160 * 96])

    def test_times_that_the_clock_blurs_are_not_negative(self):
        time = fit_time([(1e6, 1.0), (2e6, 2.0)], [-1.0, 0.5], fixed=3.0)

        assert time.fixed == 3
        assert min(time.per_pixel, time.per_window) >= 0

    @pytest.mark.parametrize("scale", [0, 1.5])
    def test_scales_beyond_the_image_are_refused(self, scale):
        with pytest.raises(ValueError, match=f"scale must be in .* got {scale}"):
            pixel_costs(scale, [(640, 384)])

    def test_costs_need_an_image(self):
        with pytest.raises(ValueError, match="at least one image"):
            pixel_costs(0.25, [])


def test_route_is_made_of_whole_pixels():
    route = to_route(GRID.whole, LATTICES[0].windows()[:2])

    assert (route.dtype, route.shape) == (torch.int64, (3, 4))
