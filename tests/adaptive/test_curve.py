from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.curve import (
    Point,
    cost_at,
    deal_at_random,
    oracle_point,
    routed_point,
    static_points,
    sweep_knobs,
    trace_curve,
    worth_at,
)
from modicum.adaptive.evidence import RouteTable, Scored
from modicum.adaptive.worth import MeanWorth

COSTS = MenuCosts(("large", "middle", "small"), (4.0, 2.0, 1.0), decision=0.5)
HITS = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)  # (N, R)


def table_of(values):
    return RouteTable(tuple(MeanWorth(column) for column in values.T))


def points(*costs_and_worths):
    return tuple(Point("", cost, worth, 0, 1) for cost, worth in costs_and_worths)


TABLES = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=20).map(
    lambda rows: table_of(torch.tensor(rows))
)


@pytest.fixture(scope="module")
def curve(case):
    return trace_curve(case.scored, case.outcome, case.model.policy, case.model.costs, table=case.table, num_shuffles=2)


class TestTraceCurve:
    def test_shares_add_up_to_one(self, curve):
        assert [sum(point.shares.values()) for point in curve.routed] == pytest.approx([1] * len(curve.routed))

    def test_costs_fall_as_the_knob_rises(self, curve):
        assert all(left.knob < right.knob and left.cost >= right.cost for left, right in pairwise(curve.routed))

    def test_it_spans_the_most_expensive_and_the_cheapest_routes(self, curve, case):
        ends = (case.model.policy.decide(case.scored.scores, case.knobs[end]) for end in (0, -1))
        costs = [float(case.model.costs.of(routes).mean()) for routes in ends]
        assert [curve.routed[0].cost, curve.routed[-1].cost] == costs

    def test_points_are_what_their_knobs_give(self, curve, case):
        for point in curve.routed:
            routes = case.model.policy.decide(case.scored.scores, point.knob)
            assert point == routed_point(point.name, case.outcome(routes), routes, case.model.costs, knob=point.knob)

    def test_random_points_cost_the_same(self, curve):
        assert [point.cost for point in curve.random] == [point.cost for point in curve.routed]

    def test_intervals_hold_the_worth(self, curve):
        assert all(point.low <= point.worth <= point.high for point in (*curve.routed, *curve.random))

    def test_it_says_unit_and_size(self, curve):
        assert (curve.unit, curve.num_samples) == ("MAC", 40)

    def test_static_routes_and_oracle_come_with_the_table(self, curve, case):
        assert (len(curve.static), curve.oracle is not None) == ((0, False) if case.table is None else (3, True))

    def test_plain_networks_are_handed_on(self, case):
        plain = points((1, 0.5))
        curve = trace_curve(
            case.scored, case.outcome, case.model.policy, case.model.costs, plain=plain, num_points=2, num_shuffles=1
        )
        assert curve.plain is plain

    def test_no_samples_are_refused(self, case):
        nothing = Scored((), case.scored.scores[:0])
        with pytest.raises(ValueError, match="a curve needs at least one sample"):
            trace_curve(nothing, case.outcome, case.model.policy, case.model.costs)


class TestSweepKnobs:
    def test_knobs_rise_and_none_occurs_twice(self, case):
        knobs = sweep_knobs(case.scored, case.model.policy, case.model.costs, 30)
        assert knobs == sorted(set(knobs))

    def test_costs_are_spread_evenly(self, case):
        """A knob falls short of its target by less than one step: at most what the most expensive sample can save."""
        knobs = sweep_knobs(case.scored, case.model.policy, case.model.costs, 11)
        costs = [
            float(case.model.costs.of(case.model.policy.decide(case.scored.scores, knob)).mean()) for knob in knobs
        ]
        targets = np.linspace(costs[0], costs[-1], 11)
        assert np.array(costs) == pytest.approx(targets, abs=case.model.costs.plain / 40)

    def test_points_that_coincide_are_given_once(self, case):
        one = Scored(("a",), case.scored.scores[:1])
        knobs = sweep_knobs(one, case.model.policy, case.model.costs, 50)
        costs = [float(case.model.costs.of(case.model.policy.decide(one.scores, knob))) for knob in knobs]
        assert len(costs) == len(set(costs)) < 50


class TestOracle:
    def test_by_hand(self):
        oracle = oracle_point(table_of(HITS), COSTS)
        assert oracle.cost == (1 + 2 + 4 + 1) / 4
        assert oracle.worth == 0.75
        assert oracle.shares == {"large": 0.25, "middle": 0.25, "small": 0.5}

    @given(table=TABLES, order=st.permutations(range(3)))
    def test_order_of_the_menu_does_not_matter(self, table, order):
        shuffled = MenuCosts(tuple(COSTS.route_names[j] for j in order), tuple(COSTS.per_route[j] for j in order), 0.5)
        assert oracle_point(RouteTable(tuple(table.per_route[j] for j in order)), shuffled) == oracle_point(
            table, COSTS
        )

    @given(table=TABLES)
    def test_no_static_route_is_worth_more_and_the_most_expensive_is_not_cheaper(self, table):
        oracle, static = oracle_point(table, COSTS), static_points(table, COSTS)
        assert oracle.worth >= max(point.worth for point in static)
        assert oracle.cost <= static[0].cost

    def test_it_beats_the_static_routes_of_a_network(self, listed_case):
        oracle = oracle_point(listed_case.table, listed_case.model.costs)
        static = static_points(listed_case.table, listed_case.model.costs)
        assert oracle.worth >= max(point.worth for point in static)


class TestStaticPoints:
    def test_by_hand(self):
        static = static_points(table_of(HITS), COSTS)
        assert [(point.name, point.cost, point.worth) for point in static] == [
            ("always large", 4, 0.75),
            ("always middle", 2, 0.5),
            ("always small", 1, 0.25),
        ]

    def test_most_expensive_comes_first_wherever_it_stands_in_the_menu(self):
        costs = MenuCosts(("small", "large", "middle"), (1.0, 4.0, 2.0))
        static = static_points(table_of(HITS[:, [2, 0, 1]]), costs)
        assert [(point.name, point.worth) for point in static] == [
            ("always large", 0.75),
            ("always middle", 0.5),
            ("always small", 0.25),
        ]


class TestDealAtRandom:
    def test_expectation_is_that_of_independent_routes(self):
        generator = torch.Generator().manual_seed(0)
        table = table_of(torch.rand(60, 3, generator=generator) < torch.tensor([0.9, 0.6, 0.2]))
        routes = torch.tensor([0] * 10 + [1] * 20 + [2] * 30)
        shares = torch.tensor([10, 20, 30]) / 60
        expected = float((table.each() * shares).sum(dim=1).mean())
        dealt = deal_at_random(routes, table.outcome, COSTS, num_shuffles=2000)
        assert dealt.worth == pytest.approx(expected, abs=0.005)  # standard error: below 0.05 / sqrt(2000) = 0.0011
        assert dealt.low < expected < dealt.high

    def test_cost_is_that_of_the_shares(self):
        dealt = deal_at_random(torch.tensor([0, 1, 2, 2]), table_of(HITS).outcome, COSTS, num_shuffles=3)
        assert dealt.cost == 2.5

    def test_deals_are_a_function_of_the_seed(self):
        deal = lambda seed: deal_at_random(torch.arange(40) % 3, table.outcome, COSTS, 4, seed)  # noqa: E731
        table = table_of(torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
        assert deal(1) == deal(1) != deal(2)

    def test_keep_vectors_are_dealt_whole(self, block_case):
        routes, dealt = torch.eye(6, dtype=torch.bool), []
        deal_at_random(
            routes, lambda routes: dealt.append(routes) or MeanWorth(routes[:, 0]), block_case.model.costs, 2
        )
        assert all(sorted(deal.tolist()) == sorted(routes.tolist()) for deal in dealt)
        assert not all(torch.equal(deal, routes) for deal in dealt)


class TestRoutedPoint:
    def test_by_hand(self):
        point = routed_point("mixed", MeanWorth(torch.tensor([True, False])), torch.tensor([0, 2]), COSTS, knob=0.3)
        assert (point.name, point.cost, point.worth, point.knob) == ("mixed", (4.5 + 1.5) / 2, 0.5, 0.3)
        assert point.shares == {"large": 0.5, "small": 0.5}

    def test_routes_of_one_name_share_a_bar(self, block_case):
        routes = torch.tensor([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]).bool()
        point = routed_point("", MeanWorth(torch.ones(4)), routes, block_case.model.costs)
        assert point.shares == {"1 of 6 blocks": 0.75, "2 of 6 blocks": 0.25}


CURVE = points((4, 0.9), (1, 0.5), (2, 0.7))


@pytest.mark.parametrize(
    ("cost", "worth"), [(1, 0.5), (1.5, 0.6), (2, 0.7), (3, 0.8), (4, 0.9), (0.9, None), (4.1, None)]
)
def test_worth_at(cost, worth):
    assert worth_at(CURVE, cost) == (None if worth is None else pytest.approx(worth))


@pytest.mark.parametrize(("worth", "cost"), [(0.4, 1), (0.5, 1), (0.51, 2), (0.9, 4), (0.95, None)])
def test_cost_at(worth, cost):
    assert cost_at(CURVE, worth) == cost


def test_cost_at_takes_the_cheapest_of_a_curve_that_is_not_monotone():
    assert cost_at(points((4, 0.8), (2, 0.9), (1, 0.5)), 0.8) == 2


def test_no_points_tell_nothing():
    assert worth_at((), 1) is cost_at((), 0) is None


def test_given_knobs_are_swept_even_where_the_price_does_not_fall_with_them(menu_case):
    """Measured milliseconds need not be in the order of multiply-adds."""
    most_expensive_last = MenuCosts(menu_case.model.costs.route_names, per_route=(1.0, 2.0, 3.0), unit="ms")
    knobs = [-0.5, 0.0, 0.5]
    curve = trace_curve(
        menu_case.scored, menu_case.outcome, menu_case.model.policy, most_expensive_last, knobs=knobs, num_shuffles=1
    )
    assert [point.knob for point in curve.routed] == knobs
