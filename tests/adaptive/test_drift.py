from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from modicum.adaptive.drift import P_VALUE, RouteCounts, compare_routes

COUNTS = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 200), max_size=5)


def test_it_is_the_chi_square_test_of_two_rows():
    drift = compare_routes({"small": 60, "large": 40}, {"small": 70, "large": 130})
    expected = chi2_contingency([[60, 40], [70, 130]], correction=False).pvalue
    assert drift.p_value == pytest.approx(expected, rel=1e-12)
    assert drift.num_samples == 200
    assert drift.shares == {"large": 0.65, "small": 0.35}
    assert drift.calibrated == {"large": 0.4, "small": 0.6}


def test_other_shares_are_beyond_chance_and_equal_ones_are_not():
    assert compare_routes({"a": 50, "b": 50}, {"a": 90, "b": 10}).is_beyond_chance
    assert not compare_routes({"a": 50, "b": 50}, {"a": 500, "b": 500}).is_beyond_chance


def test_a_route_that_was_never_calibrated_counts():
    assert compare_routes({"a": 100}, {"b": 30}).is_beyond_chance


def test_samples_drawn_alike_seldom_raise_an_alarm():
    random = np.random.default_rng(0)
    draws = [dict(zip("abc", random.multinomial(300, (0.5, 0.3, 0.2)).tolist(), strict=True)) for _ in range(2000)]
    alarms = sum(
        compare_routes(one, other).is_beyond_chance for one, other in zip(draws[::2], draws[1::2], strict=True)
    )
    assert alarms <= 1000 * P_VALUE + 4


@pytest.mark.parametrize("seen", [{}, {"b": 3}, {"a": 30}])
def test_too_few_samples_or_one_route_alone_tell_nothing(seen):
    drift = compare_routes({"a": 100}, seen)
    assert drift.p_value is None
    assert not drift.is_beyond_chance


def test_rare_routes_count_as_one():
    calibrated, seen = {"a": 90, "b": 5, "c": 5}, {"a": 86, "b": 4, "c": 1, "d": 9}
    merged = chi2_contingency([[90, 10], [86, 14]], correction=False).pvalue
    assert compare_routes(calibrated, seen).p_value == pytest.approx(merged)


@settings(deadline=None)
@given(calibrated=COUNTS, seen=COUNTS)
def test_any_counts_give_a_probability_or_none_and_order_does_not_matter(calibrated, seen):
    p_value = compare_routes(calibrated, seen).p_value
    assert p_value is None or 0 <= p_value <= 1
    turned = compare_routes(dict(reversed(calibrated.items())), dict(reversed(seen.items())))
    assert turned.p_value == p_value


def test_threads_lose_no_count():
    counts = RouteCounts()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(counts.add, [["a", "b", "a"]] * 2000))
    assert counts.counts() == {"a": 4000, "b": 2000}


def test_counts_that_were_given_out_do_not_change():
    counts = RouteCounts()
    given_out = counts.counts()
    counts.add(["a"])
    assert given_out == {}
