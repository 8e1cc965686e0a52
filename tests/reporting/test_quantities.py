import math

import pytest

from modicum.reporting.quantities import (
    cost_scale,
    format_cost,
    format_interval,
    format_number,
    format_percent,
    format_share,
)


@pytest.mark.parametrize(
    ("cost", "unit", "text"),
    [
        (4.089e9, "MAC", "4.09 G multiply-adds"),
        (999_600, "MAC", "1000 k multiply-adds"),
        (360_000, "MAC", "360 k multiply-adds"),
        (12, "MAC", "12.0 multiply-adds"),
        (0, "MAC", "0 multiply-adds"),
        (1_500_000, "px", "1.50 M pixels"),
        (0.0412, "ms", "0.0412 ms"),
        (9.996, "ms", "10.0 ms"),
        (math.nan, "ms", "– ms"),
    ],
)
def test_cost_has_three_digits_and_a_unit(cost, unit, text):
    assert format_cost(cost, unit) == text


def test_scale_follows_the_largest_finite_cost():
    scale = cost_scale([5e5, 2.5e6, math.inf], "MAC")
    assert (scale.short_name, scale.number(5e5)) == ("M MAC", "0.500")


def test_scale_of_nothing_is_the_unit_itself():
    assert cost_scale([], "MAC").name == "multiply-adds"


@pytest.mark.parametrize(("share", "text"), [(0.9713, "97.1 %"), (1, "100.0 %"), (None, "–"), (math.nan, "–")])
def test_percent_has_one_decimal(share, text):
    assert format_percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.364, "36 %"), (0.042, "4.2 %"), (0.0996, "10 %"), (-0.3, "-30 %"), (0.0, "0 %")]
)
def test_share_has_a_decimal_below_ten_per_cent_only(share, text):
    assert format_share(share) == text


def test_interval_without_ends_is_a_dash():
    assert format_interval(0.962, 0.979) == "96.2 to 97.9"
    assert format_interval(math.nan, 1.0) == format_interval(None, None) == format_number(None)
