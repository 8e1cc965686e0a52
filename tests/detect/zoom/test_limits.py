import pytest

from modicum.adaptive.knobs import BudgetError
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.planning import TimeModel

PIXELS, COARSE = 1920 * 1080, 480 * 270


@pytest.mark.parametrize("given", [{}, {"price": 1.0, "max_pixels": 0.4}])
def test_exactly_one_limit_is_asked_for(given):
    with pytest.raises(BudgetError, match="exactly one of price, max_pixels, max_ms and max_windows"):
        ZoomLimit(**given)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_limit_that_means_nothing_is_refused(value):
    with pytest.raises(BudgetError, match="price must be a finite number of at least 0"):
        ZoomLimit(price=value)


def test_limit_of_pixels_leaves_what_the_coarse_pass_does_not_read():
    assert ZoomLimit(max_pixels=0.4).budget(PIXELS, COARSE).max_pixels == pytest.approx(0.4 * PIXELS - COARSE)
    assert ZoomLimit(max_pixels=500_000).budget(PIXELS, COARSE).max_pixels == 500_000 - COARSE


def test_limit_of_pixels_below_the_coarse_pass_names_what_would_do():
    with pytest.raises(BudgetError, match=r"the coarse pass reads 129,600: allow at least 0\.0625"):
        ZoomLimit(max_pixels=0.05).budget(PIXELS, COARSE)


def test_limit_of_time_needs_a_measurement():
    with pytest.raises(BudgetError, match="measure it first"):
        ZoomLimit(max_ms=200).budget(PIXELS, COARSE)
    assert ZoomLimit(max_ms=200).budget(PIXELS, COARSE, TimeModel(50, 1e-4, 2)).max_ms == 200
