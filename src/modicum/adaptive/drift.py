"""Tells whether samples take their routes as often as those that a knob was calibrated on.

What calibration promises, a cost or a loss, holds for samples that are drawn like its own. Shares of routes that differ
by more than chance show that they no longer are; equal shares do not prove that they still are.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scipy.stats import chi2_contingency

P_VALUE = 0.001  # below it, shares differ by more than chance: one false alarm in a thousand looks
LEAST_EXPECTED = 5.0  # samples per route and side, below which the chi-square distribution is no approximation


class RouteCounts:
    """Counts the routes that samples took; threads may share it."""

    def __init__(self) -> None:
        self._lock, self._counts = threading.Lock(), Counter[str]()

    def add(self, routes: Iterable[str]) -> None:
        """Counts the names of some routes."""
        with self._lock:
            self._counts.update(routes)

    def counts(self) -> dict[str, int]:
        """Returns how many samples took each route so far."""
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True)
class Drift:
    """Compares the routes of samples with those of the calibration samples.

    Attributes:
        p_value: Probability of shares at least as different, were all samples drawn alike; None where there are too few
            to tell: fewer than two groups of routes with 5 expected samples each.
        num_samples: Samples seen.
        shares: Share of each route among them, by its name.
        calibrated: The same of the calibration samples.
    """

    p_value: float | None
    num_samples: int
    shares: dict[str, float]
    calibrated: dict[str, float]

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the shares differ by more than chance."""
        return self.p_value is not None and self.p_value < P_VALUE


def compare_routes(calibrated: Mapping[str, int], seen: Mapping[str, int]) -> Drift:
    """Compares two counts of routes by the chi-square test of homogeneity (`scipy.stats.chi2_contingency`).

    Routes too rare for the test count as one, and with the rarest of the others where they are too few even so. Counts
    of which one side is empty give no verdict.

    Args:
        calibrated: Samples on each route, by its name, when the knob was chosen.
        seen: The same since then.
    """
    columns = _merge_rare(calibrated, seen)
    p_value = None
    if len(columns) > 1:
        p_value = float(
            chi2_contingency([[pair[side] for pair in columns] for side in (0, 1)], correction=False).pvalue
        )
    return Drift(p_value, sum(seen.values()), _shares(seen), _shares(calibrated))


def _merge_rare(calibrated: Mapping[str, int], seen: Mapping[str, int]) -> list[tuple[int, int]]:
    """Returns pairs of counts, each with enough expected samples on both sides; none where there are too few."""
    sides = sum(calibrated.values()), sum(seen.values())
    if not min(sides):
        return []
    least = LEAST_EXPECTED * sum(sides) / min(sides)  # samples of both sides on a route that the smaller expects 5 of
    pairs = sorted(((calibrated.get(route, 0), seen.get(route, 0)) for route in {*calibrated, *seen}), key=sum)
    common = [pair for pair in pairs if sum(pair) >= least]
    rare = [pair for pair in pairs if sum(pair) < least]
    joined = sum(pair[0] for pair in rare), sum(pair[1] for pair in rare)
    if sum(joined) >= least:
        return [joined, *common]
    if common:
        common[0] = common[0][0] + joined[0], common[0][1] + joined[1]
    return common


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = max(1, sum(counts.values()))  # of none, each has a share of 0
    return {route: count / total for route, count in sorted(counts.items())}
