"""The report on a run: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modicum.adaptive.curve import Point, accuracy_at
from modicum.classify.results import Detail, Evaluation, Example
from modicum.classify.summary import headline, matched_accuracy, plain_cost, share_of_plain, summarise
from modicum.reporting.embedding import Plot, data_uri, embed_plot
from modicum.reporting.plots import draw_curve, draw_efficiency, draw_learning, draw_routes
from modicum.reporting.plots.drawing import THEME
from modicum.reporting.plots.learning import has_curves
from modicum.reporting.quantities import (
    CostScale,
    cost_scale,
    format_cost,
    format_number,
    format_percent,
    format_share,
)
from modicum.reporting.templating import keep_unbroken, render_page
from modicum.storage.outputs import write_output


@dataclass(frozen=True)
class Card:
    """An example as the page shows it."""

    example: Example
    picture: str
    is_right: bool


@dataclass(frozen=True)
class DetailSection:
    """A detail as the page shows it; without cards where it has no examples."""

    detail: Detail
    cards: list[Card]


@dataclass(frozen=True)
class SweepRow:
    """One point of the sweep, beside random routing with the same shares."""

    point: Point
    share: float | None
    random: float | None


def write_report(
    run_path: Path,
    evaluation: Evaluation,
    *,
    facts: Mapping[str, str],
    recipe_text: str,
    command: str,
    versions: Mapping[str, str],
    metrics_rows: Sequence[Mapping[str, Any]],
    path: Path,
) -> None:
    """Writes the report as one HTML file, atomically; what was not measured is left out.

    Args:
        run_path: The run folder; its name is shown.
        evaluation: What to report.
        facts: What a reader wants to know of the recipe, by name.
        recipe_text: The resolved recipe.
        command: What repeats the run.
        versions: What the run was made with.
        metrics_rows: Lines of ``metrics.jsonl``.
        path: The file to write.
    """
    html = render_page(
        "report.html.jinja",
        run=run_path.resolve().name,
        evaluation=evaluation,
        headline=headline(evaluation),
        facts=facts,
        recipe_text=recipe_text,
        command=command,
        versions=versions,
        plots=_plots(evaluation, metrics_rows),
        rows=summarise(evaluation),
        matched=matched_accuracy(evaluation),
        sweep=_sweep(evaluation),
        scale=_scale(evaluation),
        galleries=_galleries(evaluation),
        details=[DetailSection(detail, _cards(detail.examples)) for detail in evaluation.details],
        num_images={f"{split} images": f"{count:,}" for split, count in evaluation.num_images.items()},
        calibration=_calibration_facts(evaluation),
        theme={name: colour for colour, name in THEME.items()},
    )
    write_output(path, html)


def _plots(evaluation: Evaluation, metrics_rows: Sequence[Mapping[str, Any]]) -> dict[str, Plot]:
    """The plots for which there is something to draw, by name."""
    curve, calibrated = evaluation.curve, evaluation.calibrated
    cost = plain_cost(evaluation)
    draw = {"curve": lambda width: draw_curve(curve, calibrated=calibrated, plain_cost=cost, width_in=width)}
    if (in_ms := evaluation.curve_ms) is not None:
        draw["curve_ms"] = lambda width: draw_curve(in_ms, width_in=width)
    if any(point.shares for point in (*curve.routed, calibrated)):
        draw["routes"] = lambda width: draw_routes(curve, calibrated=calibrated, width_in=width)
    if evaluation.efficiency:
        draw["efficiency"] = lambda width: draw_efficiency(evaluation.efficiency, width_in=width)
    if has_curves(metrics_rows):
        draw["learning"] = lambda width: draw_learning(metrics_rows, width_in=width)
    return {name: embed_plot(function, name, _DESCRIPTIONS[name]) for name, function in draw.items()}


_DESCRIPTIONS = {
    "curve": "Accuracy against cost of the routed network and its baselines; the table below has the numbers.",
    "curve_ms": "Accuracy against measured milliseconds per image, for the same knobs and baselines.",
    "routes": "Share of the images on each route, over the sweep of the knob and at the calibrated knob.",
    "efficiency": "Saving in multiply-adds and in time per batch size; the table below has the numbers.",
    "learning": "Loss and accuracy over the steps of each stage of the training.",
}


def _sweep(evaluation: Evaluation) -> list[SweepRow]:
    curve, plain = evaluation.curve, plain_cost(evaluation)
    return [
        SweepRow(point, share_of_plain(point.cost, plain), accuracy_at(curve.random, point.cost))
        for point in curve.routed
    ]


def _scale(evaluation: Evaluation) -> CostScale:
    costs = [row.cost for row in summarise(evaluation)]
    return cost_scale(costs, evaluation.curve.unit)


def _galleries(evaluation: Evaluation) -> dict[str, list[Card]]:
    """The examples by title; a gallery without pictures is left out."""
    groups = {"Least effort": evaluation.cheapest, "Most effort": evaluation.dearest}
    return {title: _cards(examples) for title, examples in groups.items() if examples}


def _cards(examples: Sequence[Example]) -> list[Card]:
    return [Card(example, data_uri(example.image), example.label == example.predicted) for example in examples]


def _calibration_facts(evaluation: Evaluation) -> dict[str, str]:
    calibration, calibrated, unit = evaluation.calibration, evaluation.calibrated, evaluation.calibration.unit

    def cost(value: float) -> str:
        return f"{format_cost(value, unit)}, {format_share(share_of_plain(value, calibration.plain))} of plain"

    facts = {
        "asked for": f"at most {cost(calibration.target)}",
        "on the calibration images": f"{cost(calibration.achieved)}; {format_percent(calibration.accuracy)} right",
        "knob": format_number(calibration.knob),
        "hash of the calibration images": calibration.data_hash,
    }
    if evaluation.curve.unit == unit:
        facts["on the test images"] = f"{cost(calibrated.cost)}; {format_percent(calibrated.accuracy)} right"
    order = ("asked for", "on the calibration images", "on the test images", "knob", "hash of the calibration images")
    return {name: keep_unbroken(facts[name]) for name in order if name in facts}
