from dataclasses import replace

import pytest

from modicum.adaptive.curve import worth_at
from modicum.classify.summary import count_dominated, gain_line, result_line, summarise
from modicum.reporting.quantities import format_share


def test_headline_says_result_and_baselines(evaluation):
    assert result_line(evaluation) == (
        "On 540 test images: accuracy 98.1 % at 42 % of the plain network's multiply-adds; "
        "plain network 98.3 %, random routing with the same shares 88.1 %."
    )


def test_headline_leaves_out_what_was_not_measured(evaluation):
    bare = replace(evaluation, curve=replace(evaluation.curve, plain=(), random=()))
    assert result_line(bare) == "On 540 test images: accuracy 98.1 % at 42 % of the plain network's multiply-adds."


def test_headline_names_the_plain_network_where_there_are_several(evaluation):
    small = replace(evaluation.curve.plain[0], name="small", cost=1e6)
    several = replace(evaluation, curve=replace(evaluation.curve, plain=(small, *evaluation.curve.plain)))
    assert "; plain SmallResNet at 48 px 98.3 %" in result_line(several)


def test_rows_hold_every_baseline_in_order(evaluation):
    assert [row.what for row in summarise(evaluation)] == [
        "plain SmallResNet at 48 px",
        "always 48 px",
        "always 32 px",
        "always 16 px",
        "routed, calibrated",
        "random, same shares",
        "oracle",
    ]


def test_random_row_is_read_off_at_the_calibrated_cost(evaluation):
    (row,) = [row for row in summarise(evaluation) if row.what.startswith("random")]
    assert row.cost == evaluation.calibrated.cost
    assert row.accuracy == worth_at(evaluation.curve.random, evaluation.calibrated.cost)
    assert row.interval is None


def test_shares_refer_to_the_plain_network(evaluation):
    (row,) = [row for row in summarise(evaluation) if row.is_calibrated]
    assert row.share == pytest.approx(evaluation.calibrated.cost / evaluation.calibration.plain)


def test_plain_cost_comes_from_the_curve_where_calibration_has_another_unit(evaluation):
    timed = replace(evaluation, calibration=replace(evaluation.calibration, unit="ms", plain=1.3))
    assert timed.plain_cost == evaluation.curve.plain[0].cost


def test_no_share_without_any_plain_cost(evaluation):
    calibration = replace(evaluation.calibration, unit="ms")
    bare = replace(evaluation, calibration=calibration, curve=replace(evaluation.curve, plain=(), static=()))
    assert bare.plain_point is None
    assert result_line(bare).startswith("On 540 test images: accuracy 98.1 %; random")


def test_rows_of_plain_networks_say_at_which_cost_routing_is_as_accurate_or_that_it_never_is(evaluation):
    plain = evaluation.curve.plain[0]
    points = replace(plain, name="plain network", worth=1.0), replace(plain, cost=plain.cost / 2, worth=0.95)
    reached = replace(evaluation, curve=replace(evaluation.curve, plain=points))
    never, at_cost, *others = [row.matched for row in summarise(reached)]
    least = min(point.cost for point in evaluation.curve.routed if point.worth >= 0.95)
    assert (never, at_cost) == ("not reached", format_share(least / points[1].cost))
    assert set(others) == {""}


def test_headline_ends_with_the_gain_over_the_strongest_simple_rival(contested):
    assert result_line(contested).endswith(
        "88.1 %; 0.2 points above the strongest simple rival of equal multiply-adds, cascade of 16 px, 32 px "
        "(95 % interval -0.6 to +1.0)."
    )


def test_a_rival_that_is_better_is_said_to_be_so(contested):
    standings = contested.standing_in("ms")
    better = replace(standings.rivals[0], worth=0.99, gain=-0.02, low=-0.03, high=-0.01)
    line = gain_line(replace(standings, rivals=(better,)))
    assert line.startswith("2.0 points below the strongest simple rival of equal time, always 16 px (95 % ")
    assert better.is_clear


def test_no_gain_is_called_level(contested):
    standings = contested.standing_in("ms")
    equal = replace(standings.rivals[0], worth=0.99, gain=-1e-9)
    assert gain_line(replace(standings, rivals=(equal,))).startswith("level with the strongest simple rival of equal")


def test_nothing_is_said_where_no_rival_is_so_cheap(contested):
    assert gain_line(replace(contested.standing_in("ms"), rivals=())) is None


def test_cascade_has_a_row_at_the_calibrated_cost(contested):
    (row,) = [row for row in summarise(contested) if row.what.startswith("cascade")]
    assert (row.cost, row.accuracy) == (contested.calibrated.cost, 0.979)


def crowded(evaluation):
    """Seven plain networks, of which the frontier is "a", "c" and "e"; "g" is what costs are shares of."""
    model = replace(evaluation.curve.plain[0], low=0.5, high=1.0)
    reached = {"a": (1, 0.80), "b": (2, 0.79), "c": (3, 0.90), "d": (3, 0.85), "e": (4, 0.95), "f": (5, 0.94)}
    points = [replace(model, name=name, cost=cost * 5e5, worth=worth) for name, (cost, worth) in reached.items()]
    largest = replace(model, name="g", cost=evaluation.plain_cost, worth=0.95)
    return replace(evaluation, curve=replace(evaluation.curve, plain=(*points, largest)))


def test_networks_that_a_cheaper_one_equals_or_beats_are_left_out_but_the_one_that_costs_are_shares_of(evaluation):
    many = crowded(evaluation)
    assert [row.what for row in summarise(many)][:4] == ["a", "c", "e", "g"]
    assert count_dominated(many) == 3
    assert count_dominated(evaluation) == 0
