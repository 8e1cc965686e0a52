"""Numbers as a reader wants them: counts in M or G, shares in per cent, a dash where there is none."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Curve

MISSING = "–"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class CostScale:
    """How to write the costs of one table or axis, all in the same multiple of their unit.

    Attributes:
        divisor: What a cost is divided by to give the number written.
        name: What that number counts, in full, e.g. ``"M multiply-adds"``.
        short_name: The same for a narrow column, e.g. ``"M MAC"``.
    """

    divisor: float
    name: str
    short_name: str

    def number(self, cost: float) -> str:
        """Returns the cost with three significant digits, without its unit."""
        return _three_digits(cost / self.divisor)


def cost_scale(costs: Iterable[float], unit: Unit) -> CostScale:
    """Returns the scale on which the largest of ``costs`` has one to three digits before the point."""
    if unit == "ms":
        return CostScale(1.0, "ms", "ms")
    name, short_name = ("pixels", "px") if unit == "px" else ("multiply-adds", "MAC")
    largest = max((cost for cost in costs if math.isfinite(cost)), default=0.0)
    for divisor, prefix in _PREFIXES:
        if largest >= divisor:
            return CostScale(divisor, f"{prefix} {name}", f"{prefix} {short_name}")
    return CostScale(1.0, name, short_name)


def reference_cost(curve: Curve) -> float | None:
    """Returns the cost that counts as 100 %: that of the most expensive network without a decision."""
    return max((point.cost for point in (*curve.plain, *curve.static)), default=None)


def format_cost(cost: float, unit: Unit) -> str:
    """Formats a cost with its unit in full: ``"1.23 M multiply-adds"``, ``"0.410 ms"``."""
    scale = cost_scale([cost], unit)
    return f"{scale.number(cost)} {scale.name}"


def format_cost_briefly(cost: float, unit: Unit) -> str:
    """Formats a cost for a narrow column: ``"1.23 M MAC"``, ``"0.410 ms"``."""
    scale = cost_scale([cost], unit)
    return f"{scale.number(cost)} {scale.short_name}"


def format_percent(share: float | None) -> str:
    """Formats a share as per cent with one decimal: 0.9713 is ``"97.1 %"``."""
    return MISSING if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


def format_share(share: float | None) -> str:
    """Formats a share of cost or samples as whole per cent, with a decimal below ten: ``"36 %"``, ``"4.2 %"``."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.1f} %" if 0 < abs(share) < 0.0995 else f"{100 * share:.0f} %"


def format_interval(low: float | None, high: float | None) -> str:
    """Formats the ends of an interval of shares in per cent: ``"96.2 to 97.9"``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{100 * low:.1f} to {100 * high:.1f}"


def format_number(value: float | None) -> str:
    """Formats a number with four significant digits, for knobs."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.4g}"


def _three_digits(value: float) -> str:
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    # Rounded first: 9.996 is written 10.0, not 10.00.
    magnitude = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:.{max(2 - magnitude, 0)}f}"
