"""The reports on classifiers: accuracy against cost, where the effort goes, the clock; runs held against each other."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Curve, Point, worth_at
from modicum.classify.comparison import Compared, Comparison, Verdict
from modicum.classify.results import Detail, Evaluation, Example
from modicum.classify.standings_report import compared_standings, standings_section
from modicum.classify.summary import SummaryRow, count_dominated, result_line, summarise
from modicum.classify.survey import Survey
from modicum.imaging.files import count_suffixes
from modicum.reporting.plots import draw_curve, draw_efficiency, draw_routes
from modicum.reporting.quantities import (
    MISSING,
    CostScale,
    cost_scale,
    format_cost,
    format_interval,
    format_number,
    format_percent,
    format_share,
)
from modicum.reporting.report import Block, Card, Facts, Findings, Gallery, Note, Plot, Report, Row, Section, Table

_NUM_MATCHED = 5  # costs at which networks are compared
_SAVED = ("MAC saved", "time saved", "ratio")
_MAX_NAMED = 10  # contradictions in a survey


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a classifier; what was not measured is left out."""
    sections = (
        Section("Accuracy against cost", tuple(_accuracy(evaluation))),
        standings_section(evaluation),
        _effort(evaluation),
        *map(_detail, evaluation.details),
        _clock(evaluation),
        _calibration(evaluation),
        _data(evaluation),
    )
    shown = tuple(section for section in sections if section.blocks)
    return Report(evaluation.system, result_line(evaluation), evaluation.data, shown, evaluation.to_json())


def _accuracy(evaluation: Evaluation) -> Iterator[Block]:
    curve, calibrated, plain = evaluation.curve, evaluation.calibrated, evaluation.plain_cost
    yield Plot(
        lambda width: draw_curve(curve, calibrated=calibrated, plain_cost=plain, width_in=width),
        "Each point is a setting of the one knob. Shaded: 95 % intervals. Triangles at the edge stand for points "
        "outside the range, with their value.",
        "Accuracy against cost of the routed network and its baselines; the table below has the numbers.",
    )
    rows = summarise(evaluation)
    scale = cost_scale([row.cost for row in rows], curve.unit)
    columns = ("network", scale.short_name, "of plain", "accuracy", "95 % interval")
    cells = tuple(Row(_summary_cells(row, scale), row.is_calibrated) for row in rows)
    yield Table((*columns, "routed as well"), cells, _notes_on_baselines(curve, count_dominated(evaluation)))
    if (in_ms := evaluation.curve_ms) is not None:
        yield Plot(
            lambda width: draw_curve(in_ms, width_in=width),
            "The same knobs and baselines against the clock: milliseconds per image on this device, each route timed "
            "in batches of its own.",
            "Accuracy against measured milliseconds per image, for the same knobs and baselines.",
        )
    sweep = tuple(_swept_row(evaluation, point, scale) for point in curve.routed)
    yield Table(("knob", *columns[1:], "random"), sweep, fold=f"All {len(sweep)} points of the sweep")


def _summary_cells(row: SummaryRow, scale: CostScale) -> tuple[str, ...]:
    interval = format_interval(*row.interval) if row.interval else ""
    share, accuracy = format_share(row.share), format_percent(row.accuracy)
    return row.what, scale.number(row.cost), share, accuracy, interval, row.matched


def _swept_row(evaluation: Evaluation, point: Point, scale: CostScale) -> Row:
    return Row(
        (
            format_number(point.knob),
            scale.number(point.cost),
            format_share(evaluation.share_of_plain(point.cost)),
            format_percent(point.worth),
            format_interval(point.low, point.high),
            format_percent(worth_at(evaluation.curve.random, point.cost)),
        )
    )


def _notes_on_baselines(curve: Curve, num_dominated: int) -> str:
    notes = ["Costs are means per image, the decision included."]
    if num_dominated:
        are = "networks are" if num_dominated > 1 else "network is"
        notes.append(f"{num_dominated} more {are} left out, because a cheaper one is as accurate or better.")
    if curve.plain:
        notes.append(
            "“Routed as well” is the least cost at which routing is as accurate as a network without a decision, as a "
            "share of that network's cost."
        )
    if curve.static:
        notes.append("“Always” one route for all images is priced without the decision.")
    if curve.oracle:
        notes.append(
            "The oracle, priced likewise, sends each image along its cheapest correct route: no decision is better."
        )
    if curve.random:
        notes.append(
            "Random routing gives the same routes to the images at random; its accuracy at the calibrated cost is read "
            "off between points of the sweep."
        )
    if curve.cascade:
        notes.append(
            "The cascade runs static members, cheapest first, until one is confident; it was fitted on the calibration "
            "images."
        )
    return " ".join(notes)


def _effort(evaluation: Evaluation) -> Section:
    curve, calibrated = evaluation.curve, evaluation.calibrated
    blocks: list[Block] = []
    if any(point.shares for point in (*curve.routed, calibrated)):
        blocks.append(
            Plot(
                lambda width: draw_routes(curve, calibrated=calibrated, width_in=width),
                "Share of the test images on each route; darker is more expensive.",
                "Share of the images on each route, over the sweep of the knob and at the calibrated knob.",
            )
        )
    groups = {"Cheapest": evaluation.cheapest, "Most expensive": evaluation.most_expensive}
    galleries = [Gallery(_cards(examples), title) for title, examples in groups.items() if examples]
    if galleries:
        blocks.append(Note("Test images with their class, the answer and its probability, the route, and its cost."))
    return Section("Where the effort goes", (*blocks, *galleries))


def _cards(examples: Sequence[Example]) -> tuple[Card, ...]:
    return tuple(map(_card, examples))


def _card(example: Example) -> Card:
    is_right = example.label == example.predicted
    verdict = "✓ correct" if is_right else f"✗ wrong: {example.predicted}"
    lines = (f"{format_share(example.probability)} sure", example.route, f"{format_share(example.cost)} of plain")
    return Card(example.image, example.name, example.label, verdict, is_right, lines)


def _detail(detail: Detail) -> Section:
    table = Table(detail.columns, tuple(map(Row, detail.rows)), detail.note)
    return Section(detail.title, (table, Gallery(_cards(detail.examples))))


def _clock(evaluation: Evaluation) -> Section:
    if not evaluation.efficiency:
        return Section("What the clock says", ())
    rows = (
        Row(
            (
                str(timed.batch_size),
                timed.device,
                str(timed.threads),
                f"{timed.plain_ms:.3f}",
                f"{timed.routed_ms:.3f}",
                *(
                    MISSING if slowest is None else f"{slowest:.3f}"
                    for slowest in (timed.plain_p99_ms, timed.routed_p99_ms)
                ),
                format_percent(timed.saved_in_theory),
                format_percent(timed.saved_on_clock),
                f"{timed.realised:.2f}" if math.isfinite(timed.realised) else MISSING,
            )
        )
        for timed in evaluation.efficiency
    )
    plot = Plot(
        lambda width: draw_efficiency(evaluation.efficiency, width_in=width),
        "Saving at the calibrated knob, decision included.",
        "Saving in multiply-adds and in time per batch size; the table below has the numbers.",
    )
    note = (
        "Mean milliseconds per image, medians of both networks run in turn on the same images. The ratio is the share "
        "of the saving in multiply-adds that the clock confirms."
    )
    numbers = [timed.num_samples for timed in evaluation.efficiency if timed.num_samples is not None]
    if numbers:
        note += f" p99 is the 99th percentile over {max(numbers):,} images, each timed by itself several times."
    columns = ("batch", "device", "threads", "plain, ms", "routed, ms", "plain p99", "routed p99", *_SAVED)
    intro = "Fewer multiply-adds are a promise; time is what counts."
    return Section("What the clock says", (plot, Table(columns, tuple(rows), note)), intro)


def _calibration(evaluation: Evaluation) -> Section:
    calibration, calibrated, unit = evaluation.calibration, evaluation.calibrated, evaluation.calibration.unit

    def cost(value: float) -> str:
        share = value / calibration.plain if calibration.plain else None
        return f"{format_cost(value, unit)}, {format_share(share)} of plain"

    def reached(value: float, accuracy: float | None) -> str:
        return cost(value) if accuracy is None else f"{cost(value)}; accuracy {format_percent(accuracy)}"

    guarantee = calibration.guarantee
    images = (
        "calibration images" if guarantee is None or guarantee.source is None else f"pictures of {guarantee.source}"
    )
    facts = {"asked for": _asked(calibration, cost)}
    facts[f"on the {images}"] = reached(calibration.achieved, calibration.worth)
    if evaluation.curve.unit == unit:
        facts["on the test images"] = reached(calibrated.cost, calibrated.worth)
    if guarantee is not None:
        facts[f"loss on the {images}"] = f"{guarantee.num_losses:,} of {guarantee.num_samples:,}"
    facts |= {"knob": format_number(calibration.knob), f"hash of the {images}": calibration.data_hash}
    intro = f"The knob was chosen on {calibration.num_samples:,} {images}, none of which is a test image."
    told = (Findings(tuple(_guaranteed(evaluation))),) if guarantee is not None else ()
    return Section("Calibration", (*told, Facts(facts)), intro)


def _guaranteed(evaluation: Evaluation) -> Iterator[str]:
    """Yields the guarantee, and the loss on the test images, in a sentence each."""
    guarantee, shown = evaluation.calibration.guarantee, evaluation.loss_on_test
    if guarantee is not None:
        yield guarantee.statement
    if shown is not None:
        yield f"On the test images it happened to {shown}."


def _asked(calibration: Calibration, cost: Callable[[float], str]) -> str:
    if calibration.guarantee is not None:
        made = calibration.guarantee
        return f"a loss of at most {100 * made.max_loss:.4g} %, with {100 * made.confidence:.6g} % confidence"
    return MISSING if calibration.target is None else f"at most {cost(calibration.target)}"


def _data(evaluation: Evaluation) -> Section:
    count = len(evaluation.classes)
    intro = f"{count} classes; the network gets images of {evaluation.resolution_px} px."
    images = Facts({f"{split} images": f"{number:,}" for split, number in evaluation.num_images.items()})
    return Section("Data", (images, Note(", ".join(evaluation.classes), f"Names of the {count} classes")), intro)


def comparison_report(comparison: Comparison) -> Report:
    """Reports on several runs: their accuracies at the same costs, and the best static network for each of them.

    Raises:
        ValueError: If the costs of their curves are in different units.
    """
    verdicts = (_verdicts(comparison, unit) for unit in comparison.units)
    sections = (
        _matched(comparison),
        *(section for section in verdicts if section.blocks),
        compared_standings(comparison),
    )
    sections = tuple(section for section in sections if section.blocks)
    data = "; ".join(sorted({run.evaluation.data for run in comparison.runs}))
    system, count = comparison.runs[0].evaluation.system, len(comparison.runs)
    return Report(system, f"{count} runs side by side", data, sections, comparison.to_json())


def _matched(comparison: Comparison) -> Section:
    """Tabulates each network's accuracy at equal costs, a dash where it does not reach, and at its calibrated point."""
    units = {run.evaluation.curve.unit for run in comparison.runs}
    if len(units) != 1:
        raise ValueError(f"networks are compared in one unit of cost, got {sorted(units)}")
    costs = matched_costs([run.evaluation for run in comparison.runs])
    scale = cost_scale(costs, units.pop())
    rows = tuple(
        Row((run.name, *(format_percent(_accuracy_within(run, cost)) for cost in costs), _calibrated_cell(run)))
        for run in comparison.runs
    )
    columns = ("run", *map(scale.number, costs), "calibrated")
    title = f"Accuracy at the same mean cost per image, in {scale.short_name}"
    return Section(title, (Table(columns, rows, comparison.data_note()),))


def matched_costs(evaluations: Sequence[Evaluation]) -> list[float]:
    """Returns costs spread evenly over what the networks reach together, cheapest first; none without a sweep."""
    reached = [point.cost for evaluation in evaluations for point in evaluation.curve.routed]
    if not reached:
        return []
    return sorted({float(cost) for cost in np.linspace(min(reached), max(reached), _NUM_MATCHED)})


def _accuracy_within(run: Compared, cost: float) -> float | None:
    """Returns the accuracy at a cost: between the points of a sweep, or of the best static member within it."""
    if not run.is_static:
        return worth_at(run.evaluation.curve.routed, cost)
    members = run.members(run.evaluation.curve.unit)
    return max((point.worth for point in members if point.cost <= cost), default=None)


def _calibrated_cell(run: Compared) -> str:
    evaluation = run.evaluation
    share = evaluation.share_of_plain(evaluation.calibrated.cost)
    return f"{format_percent(evaluation.calibrated.worth)} at {format_share(share)} of plain"


def _verdicts(comparison: Comparison, unit: Unit) -> Section:
    """Tabulates whether each calibrated adaptive run is more accurate than the best static network within its cost."""
    verdicts = comparison.verdicts(unit)
    points = [point for verdict in verdicts for point in (verdict.calibrated, verdict.baseline) if point is not None]
    scale = cost_scale([point.cost for point in points], unit)
    cost = scale.short_name
    columns = ("run", cost, "accuracy", "static network", cost, "accuracy", "run is better", "intervals")
    note = comparison.clock_note() if unit == "ms" else ""
    table = Table(columns, tuple(Row(_verdict_cells(verdict, scale)) for verdict in verdicts), note)
    return Section(f"Against the best static network at no higher cost, in {cost}", (table,) if verdicts else ())


def _verdict_cells(verdict: Verdict, scale: CostScale) -> tuple[str, ...]:
    run, baseline = verdict.calibrated, verdict.baseline
    ours = (verdict.run, scale.number(run.cost), format_percent(run.worth))
    if baseline is None or verdict.margin is None:
        return (*ours, "; ".join(verdict.absences), MISSING, MISSING, MISSING, MISSING)
    points = f"{100 * verdict.margin:+.1f} points" if verdict.margin else "level"
    return (
        *ours,
        *(baseline.name, scale.number(baseline.cost), format_percent(baseline.worth)),
        *(f"{'yes' if verdict.wins else 'NO'}, {points}", "apart" if verdict.is_clear else "overlap"),
    )


def survey_report(survey: Survey) -> Report:
    """Reports on a check of an image set."""
    found = [f"{survey.name}: {survey.origin}", *(f"unreadable: {name}: {why}" for name, why in survey.unreadable)]
    if survey.contradictions:
        found.append(f"{len(survey.contradictions)} images stand in more than one class and are left out:")
        found += [" = ".join(group) for group in survey.contradictions[:_MAX_NAMED]]
    if survey.unread:
        found.append(f"not read for their suffix: {count_suffixes(survey.unread)}")
    rows = tuple(Row((name, f"{count:,}")) for name, count in survey.images.items())
    section = Section("Images per class", (Table(("class", "images"), rows), Findings(tuple(found))))
    splits = ", ".join(f"{count:,} {part}" for part, count in survey.splits.items())
    headline = f"{sum(survey.images.values()):,} images can be used: {splits}; {survey.copies} copies"
    return Report("classify", headline, survey.origin, (section,), survey.to_json())
