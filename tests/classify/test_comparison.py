from dataclasses import replace

import pytest

from modicum.adaptive.curve import Point
from modicum.classify.comparison import Compared, Comparison


def in_milliseconds(curve, factor=1e-7):
    def timed(points):
        return tuple(replace(point, cost=factor * point.cost) for point in points)

    parts = {name: timed(getattr(curve, name)) for name in ("routed", "random", "static")}
    return replace(curve, unit="ms", oracle=None, plain=(), **parts)


def member(name, cost, accuracy):
    return Point(f"always {name}", cost, accuracy, accuracy - 0.01, accuracy + 0.01)


@pytest.fixture
def timed(evaluation):
    return replace(evaluation, curve_ms=in_milliseconds(evaluation.curve))


@pytest.fixture
def family(timed):
    """Plain networks, cheap to dear; on the clock the cheap one is dear."""
    members = (member("large", 4.6e6, 0.985), member("medium", 1.9e6, 0.97), member("small", 0.6e6, 0.94))
    curve = replace(timed.curve, static=members, plain=(), routed=members[:2])
    clock = replace(in_milliseconds(curve), static=tuple(replace(each, cost=0.3) for each in members))
    return Compared("family", replace(timed, system="static", curve=curve, curve_ms=clock), is_static=True)


def without_plain(run):
    return replace(run, evaluation=replace(run.evaluation, curve=replace(run.evaluation.curve, plain=())))


def test_rival_is_the_most_accurate_static_network_at_no_higher_cost(timed, family):
    (verdict,) = Comparison((Compared("a", timed), family)).verdicts("MAC")
    assert verdict.calibrated == timed.calibrated
    assert verdict.rival.label == "medium"
    assert verdict.margin == pytest.approx(timed.calibrated.accuracy - 0.97)
    assert verdict.wins is True


def test_a_better_static_network_at_the_same_cost_is_said_to_win(timed, family):
    equal = member("equal", timed.calibrated.cost, 0.999)
    curve = replace(family.evaluation.curve, static=(*family.evaluation.curve.static, equal))
    better = replace(family, evaluation=replace(family.evaluation, curve=curve))
    (verdict,) = Comparison((Compared("a", timed), better)).verdicts("MAC")
    assert verdict.wins is False
    assert verdict.margin < 0


def test_of_equally_accurate_rivals_the_cheapest_counts(timed, family):
    curve = replace(family.evaluation.curve, static=(member("dear", 1e6, 0.9), member("cheap", 5e5, 0.9)))
    equals = replace(family, evaluation=replace(family.evaluation, curve=curve))
    (verdict,) = Comparison((Compared("a", timed), equals)).verdicts("MAC")
    assert verdict.rival.label == "cheap"


def test_the_clock_may_turn_the_verdict_round(timed, family):
    run = without_plain(Compared("a", timed))
    mac, ms = (Comparison((run, family)).verdicts(unit)[0] for unit in ("MAC", "ms"))
    assert mac.rival is not None
    assert ms.calibrated.cost < 0.3
    assert ms.rival is None
    assert ms.wins is None


def test_plain_network_of_a_run_is_a_rival_too(timed):
    dear = replace(timed, calibrated=replace(timed.calibrated, cost=1e9, accuracy=0.5))
    (verdict,) = Comparison((Compared("a", dear),)).verdicts("MAC")
    assert verdict.rival.label == "plain SmallResNet at 48 px of a"


def test_networks_tested_on_other_images_are_no_rivals(timed, family):
    run = without_plain(Compared("a", timed))
    other = replace(family, evaluation=replace(family.evaluation, data="other images"))
    (verdict,) = Comparison((run, other)).verdicts("MAC")
    assert (verdict.rival, verdict.absences) == (None, ("tested on other images",))


def test_rivals_too_dear_are_told_apart_from_those_on_other_images(timed, family):
    other = replace(family, evaluation=replace(family.evaluation, data="other images"))
    (own,) = Comparison((Compared("a", timed),)).verdicts("MAC")
    (both,) = Comparison((Compared("a", timed), other)).verdicts("MAC")
    assert (own.rival, own.absences) == (None, ("none is as cheap",))
    assert both.absences == ("none is as cheap", "tested on other images")


def test_rivals_that_were_not_timed_are_not_said_to_be_dear(timed):
    odd = replace(timed.curve.plain[0], cost=123.0)  # neither a route's cost nor that of the timed plain network
    run = Compared("a", replace(timed, curve=replace(timed.curve, plain=(odd,))))
    mac, ms = (Comparison((run,)).verdicts(unit)[0] for unit in ("MAC", "ms"))
    assert (mac.rival.cost, mac.absences) == (123.0, ())
    assert (ms.rival, ms.absences) == (None, ("not timed",))


def test_missing_static_networks_are_said_to_be_missing(timed):
    (verdict,) = Comparison((without_plain(Compared("a", timed)),)).verdicts("MAC")
    assert verdict.absences == ("none was compared",)


def test_frontier_of_images_that_no_adaptive_run_met_is_left_out_and_named(timed, family):
    other = replace(family, name="elsewhere", evaluation=replace(family.evaluation, data="other images"))
    comparison = Comparison((Compared("a", timed), family, other))
    assert {entry.name for entry in comparison.entries()} == {"a", "family"}
    note = comparison.plot_note()
    assert "(a, family: 540 of scikit-learn's" in note
    assert "elsewhere: 540 of other images)" in note
    assert "Left out, because no adaptive run has their images: elsewhere." in note


def test_static_families_alone_are_all_drawn(family):
    other = replace(family, name="elsewhere", evaluation=replace(family.evaluation, data="other images"))
    assert {entry.name for entry in Comparison((family, other)).entries()} == {"family", "elsewhere"}


def test_note_on_images_is_empty_where_all_are_the_same(timed, family):
    comparison = Comparison((Compared("a", timed), family))
    assert comparison.data_note() == ""
    assert comparison.plot_note() == comparison.clock_note()


def test_static_family_gets_no_verdict(family):
    assert Comparison((family,)).verdicts("MAC") == []


def test_intervals_that_meet_leave_the_verdict_unclear(timed, family):
    (verdict,) = Comparison((Compared("a", timed), family)).verdicts("MAC")
    assert not verdict.is_clear
    low = replace(verdict.rival, accuracy=0.5, low=0.4, high=0.6)
    assert replace(verdict, rival=low).is_clear


def test_calibrated_milliseconds_lie_on_the_measured_curve(timed):
    run = Compared("a", timed)
    assert run.calibrated("ms").cost == pytest.approx(1e-7 * timed.calibrated.cost)
    assert run.calibrated("ms").accuracy == timed.calibrated.accuracy


def test_full_plain_network_stands_at_its_own_time_of_the_largest_batch(timed):
    (plain,) = Compared("a", timed).curve("ms").plain
    assert (plain.cost, plain.accuracy) == (0.48, timed.curve.plain[0].accuracy)


def test_plain_network_of_a_routes_cost_has_that_routes_time(timed):
    counted = timed.curve.static[-1]
    small, odd = (replace(counted, label=name, cost=cost) for name, cost in (("small", counted.cost), ("odd", 123.0)))
    curve = replace(timed.curve, plain=(*timed.curve.plain, small, odd))
    plain = Compared("a", replace(timed, curve=curve)).curve("ms").plain
    assert {point.label: point.cost for point in plain} == {
        timed.curve.plain[0].label: 0.48,
        "small": pytest.approx(1e-7 * counted.cost),
    }


def test_run_without_times_leaves_milliseconds_out_for_all(timed, evaluation):
    comparison = Comparison((Compared("a", timed), Compared("b", evaluation)))
    assert comparison.untimed == ["b"]
    assert comparison.units == ("MAC",)
    assert {entry.curve.unit for entry in comparison.entries()} == {"MAC"}


def test_entries_give_each_unit_its_members_and_calibrated_points(timed, family):
    entries = Comparison((Compared("a", timed), family)).entries()
    assert [(entry.name, entry.curve.unit) for entry in entries] == [
        ("a", "MAC"),
        ("family", "MAC"),
        ("a", "ms"),
        ("family", "ms"),
    ]
    assert [point.label for point in entries[1].members] == ["large", "medium", "small"]
    assert entries[0].calibrated == timed.calibrated
    assert entries[1].calibrated is None


def test_note_says_when_times_come_from_different_devices(timed, family):
    same = Comparison((Compared("a", timed), family)).clock_note()
    rows = tuple(replace(row, device="some GPU") for row in timed.efficiency)
    elsewhere = Compared("b", replace(timed, efficiency=rows))
    mixed = Comparison((Compared("a", timed), elsewhere)).clock_note()
    assert "from its own evaluation (cpu, 2 threads, batch 64)" in same
    assert "different devices" not in same
    assert "a: cpu, 2 threads, batch 64; b: some GPU, batch 64" in mixed
    assert "different devices" in mixed


def test_note_says_when_all_were_timed_in_turn(timed):
    note = Comparison((Compared("a", timed),), in_turn=True).clock_note()
    assert note == "All runs were timed in turn on this machine (cpu, 2 threads, batch 64)."
