"""Results as tables for the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from modicum.adaptive.curve import accuracy_at
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.results import Evaluation
from modicum.reporting.quantities import (
    MISSING,
    CostScale,
    cost_scale,
    format_interval,
    format_percent,
    format_share,
)
from modicum.reporting.summary import SummaryRow, plain_cost, share_of_plain, summarise

_NUM_MATCHED = 5  # costs at which networks are compared


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
            escape(comparison.device),
            str(comparison.threads),
            f"{comparison.plain_ms:.3f}",
            f"{comparison.routed_ms:.3f}",
            format_percent(comparison.saved_in_theory),
            format_percent(comparison.saved_on_clock),
            f"{realised:.2f}" if math.isfinite(realised) else MISSING,
        )
    return table


def comparison_table(evaluations: Sequence[tuple[str, Evaluation]]) -> Table:
    """Accuracy of each network at the same costs, a dash where its knob does not reach, and at its calibrated point.

    Raises:
        ValueError: If there are none, or their costs are in different units.
    """
    units = {evaluation.curve.unit for _, evaluation in evaluations}
    if len(units) != 1:
        raise ValueError(f"networks are compared in one unit of cost, got {sorted(units) or 'no networks'}")
    costs = matched_costs([evaluation for _, evaluation in evaluations])
    scale = cost_scale(costs, units.pop())
    columns = [f"{scale.number(cost)} {scale.short_name}" for cost in costs]
    table = _new_table("Right answers at the same mean cost per image", ("run", *columns, "calibrated"))
    for name, evaluation in evaluations:
        accuracies = [format_percent(accuracy_at(evaluation.curve.routed, cost)) for cost in costs]
        table.add_row(escape(name), *accuracies, _calibrated_cell(evaluation))
    data = {evaluation.data for _, evaluation in evaluations}
    if len(data) > 1:
        table.caption = escape(f"The networks were tested on different data: {'; '.join(sorted(data))}")
    return table


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
    return escape(row.what), scale.number(row.cost), format_share(row.share), format_percent(row.accuracy), interval


def _new_table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=escape(title), title_justify="left", caption_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table
