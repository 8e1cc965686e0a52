"""Summarises an evaluation in a handful of comparable rows and one sentence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modicum.adaptive.curve import Point, cost_at
from modicum.adaptive.rivals import undominated
from modicum.classify.results import Evaluation
from modicum.classify.standings import Standing, Standings
from modicum.reporting.quantities import format_percent, format_share

LEAST_GAIN = 5e-4  # less is written as 0.0 points


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
        matched: In the row of a plain network, the least cost at which routing is as accurate, as a share of that
            network's; "not reached" if no setting is. Empty in other rows.
    """

    what: str
    cost: float
    share: float | None
    accuracy: float
    interval: tuple[float, float] | None
    is_calibrated: bool = False
    matched: str = ""


def summarise(evaluation: Evaluation) -> tuple[SummaryRow, ...]:
    """Returns the plain networks, each static route, the calibrated point, what it is held against, the oracle.

    Of the plain networks and of the static routes, those are left out that a cheaper one equals or beats; see
    `count_dominated`.
    """
    return tuple(_rows(evaluation))


def count_dominated(evaluation: Evaluation) -> int:
    """Counts the networks without a decision that `summarise` leaves out."""
    curve = evaluation.curve
    return len(curve.plain) + len(curve.static) - len(_plain(evaluation)) - len(undominated(curve.static))


def _plain(evaluation: Evaluation) -> tuple[Point, ...]:
    """Returns the frontier of the plain networks, and the one that costs are shares of, in their own order."""
    points = evaluation.curve.plain
    kept = [*undominated(points), evaluation.plain_point]
    return tuple(point for point in points if point in kept)


def result_line(evaluation: Evaluation) -> str:
    """Returns the result in one sentence of numbers; baselines that were not measured are left out."""
    calibrated = evaluation.calibrated
    result = f"accuracy {format_percent(calibrated.worth)}"
    if share := evaluation.share_of_plain(calibrated.cost):
        budget = "multiply-adds" if evaluation.curve.unit == "MAC" else "time"
        result += f" at {format_share(share)} of the plain network's {budget}"
    if baselines := ", ".join(_baselines(evaluation)):
        result += f"; {baselines}"
    standings = evaluation.standing_in(evaluation.curve.unit)
    if standings is not None and (gain := gain_line(standings)) is not None:
        result += f"; {gain}"
    return f"On {evaluation.curve.num_samples:,} test images: {result}."


def gain_line(standings: Standings) -> str | None:
    """Says how far the calibrated network is above the strongest simple rival of its cost; None if there is none."""
    rival = standings.strongest
    if rival is None:
        return None
    points = f"{100 * abs(rival.gain):.1f} points {'above' if rival.gain > 0 else 'below'}"
    if abs(rival.gain) < LEAST_GAIN:
        points = "level with"
    what = "multiply-adds" if standings.unit == "MAC" else "time"
    interval = f"95 % interval {signed_interval(rival)}"
    return f"{points} the strongest simple rival of equal {what}, {name_rival(rival)} ({interval})"


def name_rival(rival: Standing) -> str:
    """Names a rival in a sentence: a static network by itself as "always" it."""
    return f"always {rival.name}" if rival.kind == "static" else rival.name


def signed_interval(rival: Standing) -> str:
    """Returns the ends of the interval of a gain in points, with their signs: "-0.4 to +1.2"."""
    return f"{100 * rival.low:+.1f} to {100 * rival.high:+.1f}"


def _match(evaluation: Evaluation, plain: Point) -> str:
    cost = cost_at(evaluation.curve.routed, plain.worth)
    return "not reached" if cost is None else format_share(cost / plain.cost)


def _baselines(evaluation: Evaluation) -> Iterator[str]:
    if plain := evaluation.plain_point:
        name = "plain network" if len(evaluation.curve.plain) == 1 else plain.name
        yield f"{name} {format_percent(plain.worth)}"
    if (random := evaluation.random_accuracy) is not None:
        yield f"random routing with the same shares {format_percent(random)}"


def _rows(evaluation: Evaluation) -> Iterator[SummaryRow]:
    curve, calibrated, share = evaluation.curve, evaluation.calibrated, evaluation.share_of_plain

    def row(what: str, point: Point, *, is_calibrated: bool = False, matched: str = "") -> SummaryRow:
        known = math.isfinite(point.low) and math.isfinite(point.high)
        interval = (point.low, point.high) if known else None
        return SummaryRow(what, point.cost, share(point.cost), point.worth, interval, is_calibrated, matched)

    static = undominated(curve.static)
    yield from (row(point.name, point, matched=_match(evaluation, point)) for point in _plain(evaluation))
    yield from (row(point.name, point) for point in curve.static if point in static)
    yield row("routed, calibrated", calibrated, is_calibrated=True)
    standings = evaluation.standing_in(curve.unit)
    for rival in standings.rivals if standings is not None else ():
        if rival.kind == "cascade":
            yield SummaryRow(rival.name, calibrated.cost, share(calibrated.cost), rival.worth, None)
    if (random := evaluation.random_accuracy) is not None:
        yield SummaryRow("random, same shares", calibrated.cost, share(calibrated.cost), random, None)
    if curve.oracle is not None:
        yield row("oracle", curve.oracle)
