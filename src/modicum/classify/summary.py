"""Summarises an evaluation in a handful of comparable rows and one sentence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modicum.adaptive.curve import Point, cost_at
from modicum.classify.results import Evaluation
from modicum.reporting.quantities import format_percent, format_share


@dataclass(frozen=True)
class SummaryRow:
    """One way to classify the test images.

    Attributes:
        what: What a reader calls it.
        cost: Mean cost per image, in the unit of the curve.
        share: The same as a share of the plain network's cost; None where that is unknown.
        accuracy: On the test images.
        interval: Ends of the 95 % interval of the accuracy; None where the accuracy was interpolated.
        is_calibrated: Whether this is the row that the report is about.
    """

    what: str
    cost: float
    share: float | None
    accuracy: float
    interval: tuple[float, float] | None
    is_calibrated: bool = False


def summarise(evaluation: Evaluation) -> tuple[SummaryRow, ...]:
    """Returns the plain networks, each static route, the calibrated point, random routing at its cost, the oracle."""
    return tuple(_rows(evaluation))


def result_line(evaluation: Evaluation) -> str:
    """Returns the result in one sentence of numbers; baselines that were not measured are left out."""
    calibrated = evaluation.calibrated
    result = f"accuracy {format_percent(calibrated.worth)}"
    if share := evaluation.share_of_plain(calibrated.cost):
        budget = "multiply-adds" if evaluation.curve.unit == "MAC" else "time"
        result += f" at {format_share(share)} of the plain network's {budget}"
    if baselines := ", ".join(_baselines(evaluation)):
        result += f"; {baselines}"
    return f"On {evaluation.curve.num_samples:,} test images: {result}."


def matched_accuracy(evaluation: Evaluation) -> tuple[str, ...]:
    """Says, for each network without a decision, what the routed one costs at the same accuracy, if it reaches it."""
    return tuple(_match(point, cost_at(evaluation.curve.routed, point.worth)) for point in evaluation.curve.plain)


def _match(plain: Point, cost: float | None) -> str:
    owner = "the plain network's accuracy" if plain.name == "plain network" else f"the accuracy of “{plain.name}”"
    accuracy = f"{owner} ({format_percent(plain.worth)})"
    if cost is None:
        return f"No setting reaches {accuracy}."
    return f"Routing reaches {accuracy} at {format_share(cost / plain.cost)} of its cost."


def _baselines(evaluation: Evaluation) -> Iterator[str]:
    if plain := evaluation.plain_point:
        name = "plain network" if len(evaluation.curve.plain) == 1 else plain.name
        yield f"{name} {format_percent(plain.worth)}"
    if (random := evaluation.random_accuracy) is not None:
        yield f"random routing with the same shares {format_percent(random)}"


def _rows(evaluation: Evaluation) -> Iterator[SummaryRow]:
    curve, calibrated, share = evaluation.curve, evaluation.calibrated, evaluation.share_of_plain

    def row(what: str, point: Point, *, is_calibrated: bool = False) -> SummaryRow:
        known = math.isfinite(point.low) and math.isfinite(point.high)
        interval = (point.low, point.high) if known else None
        return SummaryRow(what, point.cost, share(point.cost), point.worth, interval, is_calibrated)

    yield from (row(point.name, point) for point in curve.plain)
    yield from (row(f"{point.name} for every image", point) for point in curve.static)
    yield row("routed, calibrated", calibrated, is_calibrated=True)
    if (random := evaluation.random_accuracy) is not None:
        yield SummaryRow("random, same shares", calibrated.cost, share(calibrated.cost), random, None)
    if curve.oracle is not None:
        yield row("oracle", curve.oracle)
