import io
from dataclasses import replace

import pytest
from rich.console import Console

from modicum.adaptive.curve import accuracy_at
from modicum.classify.comparison import Compared, Comparison
from modicum.classify.tables import (
    comparison_table,
    detail_table,
    efficiency_table,
    evaluation_table,
    matched_costs,
    verdict_table,
)
from modicum.reporting.quantities import format_percent


def printed(table):
    console = Console(width=160, color_system=None, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_evaluation_table_shows_the_calibrated_row(evaluation):
    text = printed(evaluation_table(evaluation))
    assert "M MAC" in text
    (line,) = [line for line in text.splitlines() if "routed, calibrated" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "routed, calibrated",
        "1.91",
        "42 %",
        "98.1 %",
        "97.0 to 99.3",
    ]


def test_names_are_not_markup(evaluation):
    odd = replace(evaluation, data="[red]photos[/red]")
    assert "[red]photos[/red]" in printed(evaluation_table(odd))
    assert "[bold]" in printed(comparison_table([Compared("[bold]", evaluation)]))


def test_missing_baselines_have_no_rows(evaluation):
    bare = replace(evaluation, curve=replace(evaluation.curve, plain=(), static=(), random=(), oracle=None))
    assert evaluation_table(bare).row_count == 1


def test_efficiency_table_shows_the_ratio(evaluation):
    nothing_promised = replace(evaluation.efficiency[0], saved_in_theory=0.0)
    text = printed(efficiency_table([*evaluation.efficiency, nothing_promised]))
    assert "0.77" in text
    assert text.splitlines()[-2].rstrip(" │").endswith("–")  # noqa: RUF001  the dash for what is missing


def test_detail_table_has_its_cells_as_they_are(detail):
    odd = replace(detail, rows=(*detail.rows, ("[red]block[/red]", "0 %", "0 %")))
    lines = printed(detail_table(odd)).splitlines()
    assert lines[0].startswith("Blocks kept")
    assert any("stage 2, block 1" in line and "41 %" in line and "87 %" in line for line in lines)
    assert any("[red]block[/red]" in line for line in lines)


def test_matched_costs_span_what_the_networks_reach_together(evaluation):
    costs = [point.cost for point in evaluation.curve.routed]
    matched = matched_costs([evaluation])
    assert (matched[0], matched[-1]) == (min(costs), max(costs))


def test_comparison_reads_accuracies_at_the_same_costs(evaluation):
    cost = matched_costs([evaluation])[2]
    assert format_percent(accuracy_at(evaluation.curve.routed, cost)) in printed(
        comparison_table([Compared("a", evaluation)])
    )


def test_comparison_says_when_data_differ(evaluation):
    other = replace(evaluation, data="other photos")
    same, different = (
        printed(comparison_table([Compared("a", evaluation), Compared("b", each)])) for each in (evaluation, other)
    )
    assert "Tested on different images" in different
    assert "Tested on" not in same


def test_units_are_not_mixed(evaluation):
    timed = replace(evaluation, curve=replace(evaluation.curve, unit="ms"))
    with pytest.raises(ValueError, match=r"in one unit of cost, got \['MAC', 'ms'\]"):
        comparison_table([Compared("a", evaluation), Compared("b", timed)])


def test_static_family_gives_its_best_member_within_the_cost_and_nothing_in_between(evaluation):
    points = evaluation.curve.routed
    cheap, dear = replace(points[-1], label="small", accuracy=0.8), replace(points[0], label="large", accuracy=0.9)
    curve = replace(evaluation.curve, static=(dear, cheap), routed=(dear, cheap))
    (line,) = [
        line
        for line in printed(comparison_table([Compared("f", replace(evaluation, curve=curve), True)])).splitlines()
        if line.startswith("│ f ")
    ]
    assert [cell.strip() for cell in line.strip("│").split("│")][1:-1] == ["80.0 %"] * 4 + ["90.0 %"]


def test_verdict_table_says_no_where_a_static_network_is_better(evaluation):
    wins = Compared("wins", evaluation)
    better = replace(evaluation.curve.plain[0], label="always small", cost=1.0, accuracy=0.995, low=0.99, high=1.0)
    family = replace(evaluation, curve=replace(evaluation.curve, static=(better,)))
    alone = printed(verdict_table(Comparison((wins,)), "MAC"))
    beaten = printed(verdict_table(Comparison((wins, Compared("family", family, True))), "MAC"))
    assert "none is as cheap" in alone
    assert "NO, -1.4 points" in beaten
    assert "overlap" in beaten


def test_verdict_in_milliseconds_says_where_they_come_from(evaluation):
    timed = replace(evaluation, curve_ms=replace(evaluation.curve, unit="ms"))
    assert "its own evaluation" in printed(verdict_table(Comparison((Compared("a", timed),)), "ms"))
    assert "its own evaluation" not in printed(verdict_table(Comparison((Compared("a", timed),)), "MAC"))
