import io
from dataclasses import replace

import pytest
from rich.console import Console

from modicum.adaptive.curve import accuracy_at
from modicum.reporting.quantities import format_percent
from modicum.reporting.tables import comparison_table, efficiency_table, evaluation_table, matched_costs


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
    assert "[bold]" in printed(comparison_table([("[bold]", evaluation)]))


def test_missing_baselines_have_no_rows(evaluation):
    bare = replace(evaluation, curve=replace(evaluation.curve, plain=(), static=(), random=(), oracle=None))
    assert evaluation_table(bare).row_count == 1


def test_efficiency_table_shows_the_ratio(evaluation):
    nothing_promised = replace(evaluation.efficiency[0], saved_in_theory=0.0)
    text = printed(efficiency_table([*evaluation.efficiency, nothing_promised]))
    assert "0.77" in text
    assert text.splitlines()[-2].rstrip(" │").endswith("–")  # noqa: RUF001  the dash for what is missing


def test_matched_costs_span_what_the_networks_reach_together(evaluation):
    costs = [point.cost for point in evaluation.curve.routed]
    matched = matched_costs([evaluation])
    assert (matched[0], matched[-1]) == (min(costs), max(costs))


def test_comparison_reads_accuracies_at_the_same_costs(evaluation):
    cost = matched_costs([evaluation])[2]
    assert format_percent(accuracy_at(evaluation.curve.routed, cost)) in printed(comparison_table([("a", evaluation)]))


def test_comparison_says_when_data_differ(evaluation):
    other = replace(evaluation, data="other photos")
    assert "tested on different data" in printed(comparison_table([("a", evaluation), ("b", other)]))


def test_units_are_not_mixed(evaluation):
    timed = replace(evaluation, curve=replace(evaluation.curve, unit="ms"))
    with pytest.raises(ValueError, match=r"in one unit of cost, got \['MAC', 'ms'\]"):
        comparison_table([("a", evaluation), ("b", timed)])
