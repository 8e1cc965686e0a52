"""What an evaluation comes down to: a handful of comparable rows, and one sentence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modicum.adaptive.curve import Point, accuracy_at, cost_at
from modicum.classify.results import Evaluation
from modicum.reporting.plots.curve import reference_cost
from modicum.reporting.quantities import format_percent, format_share


@dataclass(frozen=True)
class SummaryRow:
    """One way to classify the test images.

    Attributes:
        what: What a reader calls it.
        cost: Mean cost per image, in the unit of the curve.
        share: The same as a share of the plain network's cost; None where that is unknown.
        accuracy: Share of the test images classified right.
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
    """The plain networks, each static route, the calibrated point, random routing at its cost, and the oracle."""
    return tuple(_rows(evaluation))


def headline(evaluation: Evaluation) -> str:
    """The result in one sentence of numbers; baselines that were not measured are left out."""
    calibrated = evaluation.calibrated
    result = f"{format_percent(calibrated.accuracy)} right"
    if share := share_of_plain(calibrated.cost, plain_cost(evaluation)):
        budget = "multiply-adds" if evaluation.curve.unit == "MAC" else "time"
        result += f" at {format_share(share)} of the plain network's {budget}"
    if baselines := ", ".join(_baselines(evaluation)):
        result += f"; {baselines}"
    return f"On {evaluation.curve.num_samples:,} test images: {result}."


def matched_accuracy(evaluation: Evaluation) -> tuple[str, ...]:
    """For each network without a decision, what the routed one costs at the same accuracy, where it reaches it."""
    curve = evaluation.curve
    lines = []
    for point in curve.plain:
        cost = cost_at(curve.routed, point.accuracy)
        if cost is not None:
            share = format_share(cost / point.cost)
            lines.append(f"As right as {point.label} ({format_percent(point.accuracy)}): at {share} of its cost.")
        else:
            lines.append(f"As right as {point.label} ({format_percent(point.accuracy)}): at no knob.")
    return tuple(lines)


def plain_cost(evaluation: Evaluation) -> float | None:
    """Cost of the plain network in the unit of the curve; None where it is unknown."""
    if evaluation.calibration.unit == evaluation.curve.unit:
        return evaluation.calibration.plain
    return reference_cost(evaluation.curve)


def share_of_plain(cost: float, plain: float | None) -> float | None:
    """``cost`` as a share of the plain network's; None where that is unknown."""
    return cost / plain if plain else None


def plain_point(evaluation: Evaluation) -> Point | None:
    """The plain network that the result is held against: that of the plain cost, the most accurate of equals."""
    cost = plain_cost(evaluation)
    if cost is None:
        return None
    return min(evaluation.curve.plain, key=lambda point: (abs(point.cost - cost), -point.accuracy), default=None)


def random_accuracy(evaluation: Evaluation) -> float | None:
    """Accuracy of random routing at the cost of the calibrated point; None where no deal was that dear or cheap."""
    return accuracy_at(evaluation.curve.random, evaluation.calibrated.cost)


def _baselines(evaluation: Evaluation) -> Iterator[str]:
    if plain := plain_point(evaluation):
        name = f" ({plain.label})" if len(evaluation.curve.plain) > 1 else ""
        yield f"plain network{name} {format_percent(plain.accuracy)}"
    if (random := random_accuracy(evaluation)) is not None:
        yield f"random routing with the same shares {format_percent(random)}"


def _rows(evaluation: Evaluation) -> Iterator[SummaryRow]:
    curve, calibrated, plain = evaluation.curve, evaluation.calibrated, plain_cost(evaluation)

    def row(what: str, point: Point, *, is_calibrated: bool = False) -> SummaryRow:
        known = math.isfinite(point.low) and math.isfinite(point.high)
        interval = (point.low, point.high) if known else None
        return SummaryRow(what, point.cost, share_of_plain(point.cost, plain), point.accuracy, interval, is_calibrated)

    yield from (row(point.label, point) for point in curve.plain)
    yield from (row(f"{point.label} for every image", point) for point in curve.static)
    yield row("routed, calibrated", calibrated, is_calibrated=True)
    if (random := random_accuracy(evaluation)) is not None:
        yield SummaryRow("random, same shares", calibrated.cost, share_of_plain(calibrated.cost, plain), random, None)
    if curve.oracle is not None:
        yield row("oracle", curve.oracle)
