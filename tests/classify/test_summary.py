from dataclasses import replace

import pytest

from modicum.adaptive.curve import accuracy_at
from modicum.classify.summary import headline, plain_cost, plain_point, summarise


def test_headline_says_result_and_baselines(evaluation):
    assert headline(evaluation) == (
        "On 540 test images: 98.1 % right at 42 % of the plain network's multiply-adds; "
        "plain network 98.3 %, random routing with the same shares 88.1 %."
    )


def test_headline_leaves_out_what_was_not_measured(evaluation):
    bare = replace(evaluation, curve=replace(evaluation.curve, plain=(), random=()))
    assert headline(bare) == "On 540 test images: 98.1 % right at 42 % of the plain network's multiply-adds."


def test_headline_names_the_plain_network_where_there_are_several(evaluation):
    small = replace(evaluation.curve.plain[0], label="small", cost=1e6)
    several = replace(evaluation, curve=replace(evaluation.curve, plain=(small, *evaluation.curve.plain)))
    assert "plain network (plain SmallResNet at 48 px) 98.3 %" in headline(several)


def test_rows_hold_every_baseline_in_order(evaluation):
    assert [row.what for row in summarise(evaluation)] == [
        "plain SmallResNet at 48 px",
        "48 px for every image",
        "32 px for every image",
        "16 px for every image",
        "routed, calibrated",
        "random, same shares",
        "oracle",
    ]


def test_random_row_is_read_off_at_the_calibrated_cost(evaluation):
    (row,) = [row for row in summarise(evaluation) if row.what.startswith("random")]
    assert row.cost == evaluation.calibrated.cost
    assert row.accuracy == accuracy_at(evaluation.curve.random, evaluation.calibrated.cost)
    assert row.interval is None


def test_shares_refer_to_the_plain_network(evaluation):
    (row,) = [row for row in summarise(evaluation) if row.is_calibrated]
    assert row.share == pytest.approx(evaluation.calibrated.cost / evaluation.calibration.plain)


def test_plain_cost_comes_from_the_curve_where_calibration_has_another_unit(evaluation):
    timed = replace(evaluation, calibration=replace(evaluation.calibration, unit="ms", plain=1.3))
    assert plain_cost(timed) == evaluation.curve.plain[0].cost


def test_no_share_without_any_plain_cost(evaluation):
    calibration = replace(evaluation.calibration, unit="ms")
    bare = replace(evaluation, calibration=calibration, curve=replace(evaluation.curve, plain=(), static=()))
    assert plain_point(bare) is None
    assert headline(bare).startswith("On 540 test images: 98.1 % right; random")
