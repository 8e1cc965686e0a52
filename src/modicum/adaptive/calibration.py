"""The knob that meets a budget, found on data that the test never sees."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import CostTable, Unit, require_plain
from modicum.adaptive.evidence import Outcome, Scored
from modicum.adaptive.guarantee import Guarantee
from modicum.adaptive.knobs import BudgetError, check_knob, check_share
from modicum.adaptive.samples import Routes


@dataclass(frozen=True)
class Calibration:
    """A knob, and what it was chosen for and on.

    Attributes:
        target: Mean cost per sample that was asked for; None where a guarantee was.
        unit: What costs count.
        knob: The knob that meets it.
        achieved: Mean cost on the calibration samples.
        plain: Cost of the plain network on any sample; None if there is none.
        worth: Of the calibration samples; None if they have no labels.
        num_samples: How many they were.
        data_hash: Of their ids, so that a later evaluation can tell whether it uses the same.
        routes: Samples on each route at the knob, by the route's name; None in records of older versions.
        guarantee: Guarantee that the knob keeps; None where a budget was met instead.
    """

    target: float | None
    unit: Unit
    knob: float
    achieved: float
    plain: float | None
    worth: float | None
    num_samples: int
    data_hash: str
    routes: dict[str, int] | None = None
    guarantee: Guarantee | None = None

    def __post_init__(self) -> None:
        check_knob(self.knob)


def calibrate(
    scored: Scored,
    outcome: Outcome[Routes],
    policy: Policy[Routes],
    costs: CostTable[Routes],
    target: float,
    *,
    describe: Callable[[float], str] | None = None,
) -> Calibration:
    """Finds the least knob (so the most expensive routes) whose mean cost on these samples is at most ``target``.

    Args:
        scored: The calibration samples.
        outcome: What routes of the same samples are worth.
        policy: The decision.
        costs: Its price, in the unit of ``target``.
        target: Mean cost per sample, the decision included.
        describe: How a message names a cost; None names it in the unit of ``costs``.

    Raises:
        BudgetError: If even the cheapest routes cost more than ``target``.
    """
    if not len(scored.ids):
        raise ValueError("calibration needs at least one sample")

    def mean_cost(knob: float) -> float:
        return float(costs.of(policy.decide(scored.scores, knob)).mean())

    knob = bisect_knob(mean_cost, target, policy.knob_range(scored.scores), costs.unit, describe=describe)
    routes = policy.decide(scored.scores, knob)
    return Calibration(
        target=target,
        unit=costs.unit,
        knob=knob,
        achieved=float(costs.of(routes).mean()),
        plain=costs.plain,
        worth=outcome(routes).total(),
        num_samples=len(scored.ids),
        data_hash=hash_ids(scored.ids),
        routes=dict(Counter(costs.names(routes))),
    )


def bisect_knob(
    mean_cost: Callable[[float], float],
    target: float,
    knob_range: tuple[float, float],
    unit: Unit = "MAC",
    *,
    describe: Callable[[float], str] | None = None,
) -> float:
    """Finds the least knob, to 2**-60 of the range, at which ``mean_cost`` is at most ``target``.

    Args:
        mean_cost: Never rises with the knob.
        target: The mean cost allowed.
        knob_range: From the most expensive knob to the cheapest.
        unit: What costs count, for the message of the error.
        describe: How that message names a cost instead.

    Raises:
        BudgetError: If ``mean_cost`` exceeds ``target`` at the cheapest knob.

    Example:
        >>> round(bisect_knob(lambda knob: 10 - knob, target=4, knob_range=(0, 10)), 6)
        6.0
    """
    highest, cheapest = knob_range
    if not (least := mean_cost(cheapest)) <= target:  # so that nan is refused, too
        if describe is not None:
            raise BudgetError(f"budget {describe(target)} is below the cheapest routes, {describe(least)}: raise it")
        raise BudgetError(f"budget {target:.6g} {unit} per sample is below the cheapest routes, {least:.6g} {unit}")
    if mean_cost(highest) <= target:
        return highest
    for _ in range(60):  # as fine as a double gets, relative to the range
        middle = (highest + cheapest) / 2
        if mean_cost(middle) <= target:
            cheapest = middle
        else:
            highest = middle
    return cheapest


def check_disjoint(calibration_ids: Iterable[str], test_ids: Iterable[str]) -> None:
    """Refuses to test on samples that the knob was chosen on.

    Raises:
        ValueError: If a sample is in both sets; the message names some.

    Example:
        >>> check_disjoint(["a.png", "b.png"], ["b.png"])
        Traceback (most recent call last):
        ValueError: 1 samples are in both calibration and test data, e.g. b.png: split them anew
    """
    shared = sorted(set(calibration_ids) & set(test_ids))
    if shared:
        names = ", ".join(shared[:3])
        raise ValueError(f"{len(shared)} samples are in both calibration and test data, e.g. {names}: split them anew")


def hash_ids(ids: Iterable[str]) -> str:
    """Hashes a set of ids, whatever their order."""
    joined = "".join(f"{name}\0" for name in sorted(ids))  # the one character that no file name holds
    return hashlib.blake2b(joined.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def relative_budget(budget: float, costs: CostTable[Any]) -> float:
    """Returns the cost that is the share ``budget`` of the plain network's.

    Raises:
        BudgetError: If ``budget`` is not in (0, 1], or there is no plain network.
    """
    return check_share(budget) * require_plain(costs)


def describe_share(costs: CostTable[Any]) -> Callable[[float], str]:
    """Returns a function that names a cost in messages as a share of the plain network's."""
    what, plain = {"MAC": "multiply-adds", "px": "pixels", "ms": "time"}[costs.unit], require_plain(costs)
    return lambda cost: f"{cost / plain:.4g} of the plain network's {what}"
