import math

import numpy as np
import pytest

from modicum.adaptive.knobs import BudgetError, KnobError, check_knob, check_milliseconds, check_share


@pytest.mark.parametrize("knob", [0, -3.5, np.float32(0.5), np.int64(2)])
def test_numbers_are_knobs(knob):
    assert check_knob(knob) == knob
    assert isinstance(check_knob(knob), float)


@pytest.mark.parametrize("knob", [math.nan, math.inf, -math.inf, np.float32("inf"), None, "0.5", True, [0.5]])
def test_whatever_is_no_finite_number_is_no_knob(knob):
    with pytest.raises(KnobError, match="knob must be a finite number, got "):
        check_knob(knob)


@pytest.mark.parametrize("budget", [0, -0.1, 1.0001, 50, math.nan, math.inf, "0.5", None])
def test_a_budget_is_a_share_of_at_most_all(budget):
    with pytest.raises(BudgetError, match=r"budget must be a share of the plain network's cost, in \(0, 1\], got "):
        check_share(budget)
    assert check_share(1) == 1.0


@pytest.mark.parametrize("budget_ms", [0, -1.0, math.nan, math.inf])
def test_a_budget_in_milliseconds_is_positive_and_finite(budget_ms):
    with pytest.raises(BudgetError, match="budget_ms must be a positive number of milliseconds per sample, got "):
        check_milliseconds(budget_ms)
    assert check_milliseconds(3) == 3.0
