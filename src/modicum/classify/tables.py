"""Results as tables for the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Point, accuracy_at
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.comparison import Compared, Comparison, Verdict
from modicum.classify.results import Detail, Evaluation
from modicum.classify.summary import (
    SummaryRow,
    headline,
    matched_accuracy,
    plain_cost,
    share_of_plain,
    summarise,
)
from modicum.reporting.quantities import (
    MISSING,
    CostScale,
    cost_scale,
    format_interval,
    format_percent,
    format_share,
)
from modicum.reporting.terminal import shown

_NUM_MATCHED = 5  # costs at which networks are compared


def evaluation_parts(evaluation: Evaluation) -> list[RenderableType]:
    """Everything that a terminal shows of an evaluation, in order."""
    parts: list[RenderableType] = [evaluation_table(evaluation)]
    for detail in evaluation.details:
        parts += [detail_table(detail), shown(detail.note)]
    if evaluation.efficiency:
        parts.append(efficiency_table(evaluation.efficiency))
    return [*parts, *map(shown, matched_accuracy(evaluation)), shown(headline(evaluation))]


def comparison_parts(comparison: Comparison) -> list[RenderableType]:
    """Everything that a terminal shows of a comparison, in order."""
    tables = [verdict_table(comparison, unit) for unit in comparison.units]
    return [comparison_table(comparison.runs), *(table for table in tables if table.row_count)]


def evaluation_table(evaluation: Evaluation) -> Table:
    """The calibrated network beside everything it is to be held against."""
    rows = summarise(evaluation)
    scale = cost_scale([row.cost for row in rows], evaluation.curve.unit)
    table = _new_table(
        f"{evaluation.system}: {evaluation.curve.num_samples:,} test images of {evaluation.data}",
        ("network", scale.short_name, "of plain", "right", "95 % interval"),
    )
    for row in rows:
        table.add_row(*_cells(row, scale), style="bold" if row.is_calibrated else None)
    return table


def efficiency_table(comparisons: Sequence[Efficiency]) -> Table:
    """What the clock says on the saving, per batch size; without rows where nothing was timed."""
    names = ("batch", "device", "threads", "plain ms", "routed ms", "saved MAC", "saved time", "ratio")
    table = _new_table("Saving in theory and on the clock, per image", names)
    for comparison in comparisons:
        realised = comparison.realised
        table.add_row(
            str(comparison.batch_size),
            shown(comparison.device),
            str(comparison.threads),
            f"{comparison.plain_ms:.3f}",
            f"{comparison.routed_ms:.3f}",
            format_percent(comparison.saved_in_theory),
            format_percent(comparison.saved_on_clock),
            f"{realised:.2f}" if math.isfinite(realised) else MISSING,
        )
    return table


def detail_table(detail: Detail) -> Table:
    """What one kind of network shows of itself; its note and examples are left out."""
    table = _new_table(detail.title, [shown(name) for name in detail.columns])
    for row in detail.rows:
        table.add_row(*(shown(cell) for cell in row))
    return table


def comparison_table(runs: Sequence[Compared]) -> Table:
    """Accuracy of each network at the same costs, a dash where it does not reach, and at its calibrated point.

    An adaptive network is read off between the points of its sweep; a static family gives its best member within the
    cost.

    Raises:
        ValueError: If there are none, or their costs are in different units.
    """
    evaluations = [run.evaluation for run in runs]
    units = {evaluation.curve.unit for evaluation in evaluations}
    if len(units) != 1:
        raise ValueError(f"networks are compared in one unit of cost, got {sorted(units) or 'no networks'}")
    unit, costs = units.pop(), matched_costs(evaluations)
    scale = cost_scale(costs, unit)
    title = f"Right answers at the same mean cost per image, in {scale.short_name}"
    table = _new_table(title, ("run", *(scale.number(cost) for cost in costs), "calibrated"))
    for run in runs:
        accuracies = [format_percent(_accuracy_within(run, cost)) for cost in costs]
        table.add_row(shown(run.name), *accuracies, _calibrated_cell(run.evaluation))
    table.caption = shown(Comparison(tuple(runs)).data_note()) or None
    return table


def _accuracy_within(run: Compared, cost: float) -> float | None:
    if not run.is_static:
        return accuracy_at(run.evaluation.curve.routed, cost)
    members = run.members(run.evaluation.curve.unit)
    return max((point.accuracy for point in members if point.cost <= cost), default=None)


def verdict_table(comparison: Comparison, unit: Unit) -> Table:
    """Whether each adaptive run, calibrated, is right more often than the best static network that costs no more."""
    verdicts = comparison.verdicts(unit)
    points = [point for verdict in verdicts for point in (verdict.calibrated, verdict.rival) if point is not None]
    scale = cost_scale([point.cost for point in points], unit)
    table = _new_table(
        f"Against the best static network at no higher cost, in {scale.short_name}",
        ("run", scale.short_name, "right", "static network", scale.short_name, "right", "run is better", "intervals"),
    )
    for verdict in verdicts:
        rival = verdict.rival
        name = shown("; ".join(verdict.absences)) if rival is None else shown(rival.label)
        cells = (*_priced(verdict.calibrated, scale), name, *_priced(rival, scale), *_judged(verdict))
        table.add_row(shown(verdict.run), *cells)
    if unit == "ms":
        table.caption = shown(comparison.clock_note())
    return table


def _priced(point: Point | None, scale: CostScale) -> tuple[str, str]:
    if point is None:
        return MISSING, MISSING
    return scale.number(point.cost), format_percent(point.accuracy)


def _judged(verdict: Verdict) -> tuple[str, str]:
    if verdict.margin is None:
        return MISSING, MISSING
    word = "yes" if verdict.wins else "NO"
    points = f"{100 * verdict.margin:+.1f} points" if verdict.margin else "level"
    return f"{word}, {points}", "apart" if verdict.is_clear else "overlap"


def matched_costs(evaluations: Sequence[Evaluation]) -> list[float]:
    """Costs spread evenly over what the networks reach together, cheapest first; none where no knob was swept."""
    reached = [point.cost for evaluation in evaluations for point in evaluation.curve.routed]
    if not reached:
        return []
    return sorted({float(cost) for cost in np.linspace(min(reached), max(reached), _NUM_MATCHED)})


def _calibrated_cell(evaluation: Evaluation) -> str:
    calibrated = evaluation.calibrated
    share = share_of_plain(calibrated.cost, plain_cost(evaluation))
    return f"{format_percent(calibrated.accuracy)} at {format_share(share)} of plain"


def _cells(row: SummaryRow, scale: CostScale) -> tuple[str, ...]:
    interval = format_interval(*row.interval) if row.interval else ""
    return shown(row.what), scale.number(row.cost), format_share(row.share), format_percent(row.accuracy), interval


def _new_table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=shown(title), title_justify="left", caption_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table
