"""Which knobs and budgets mean something; checked here for Python, the command line, recipes, runs and exports alike.

Free of torch and numpy, as recipes and the runners of exports need it.
"""

import math
from numbers import Real
from typing import TypeGuard

from modicum.storage.errors import ModicumError


class KnobError(ModicumError, ValueError):
    """A knob is not a finite number."""


class BudgetError(ModicumError, ValueError):
    """A budget means nothing, or no knob meets it; the message says what would do."""


def check_knob(knob: object) -> float:
    """Returns the knob as a number.

    An infinite knob would not mean the cheapest routes: infinite prices of all routes tie, and the first route wins.

    Raises:
        KnobError: If it is no number, or NaN or infinite.
    """
    if not is_finite(knob):
        raise KnobError(f"knob must be a finite number, got {knob}; the higher, the cheaper")
    return float(knob)


def check_share(budget: object) -> float:
    """Returns a budget that is given as a share of the plain network's cost.

    Raises:
        BudgetError: If it is not in (0, 1].
    """
    if not is_share(budget):
        raise BudgetError(f"budget must be a share of the plain network's cost, in (0, 1], got {budget}")
    return float(budget)


def check_milliseconds(budget_ms: object) -> float:
    """Returns a budget that is given in milliseconds per sample.

    Raises:
        BudgetError: If it is not a positive finite number.
    """
    if not (is_finite(budget_ms) and float(budget_ms) > 0):
        raise BudgetError(f"budget_ms must be a positive number of milliseconds per sample, got {budget_ms}")
    return float(budget_ms)


def is_share(budget: object) -> TypeGuard[float]:
    """Tells whether a budget is a share of a whole, in (0, 1]."""
    return is_finite(budget) and 0 < float(budget) <= 1


def is_finite(value: object) -> TypeGuard[float]:
    """Tells whether a value is a number other than NaN and infinity; booleans do not count as numbers."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
