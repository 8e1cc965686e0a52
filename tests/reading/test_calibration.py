import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.calibration import reliability, tune_no_answer


def test_bins_hold_means():
    diagram = reliability([0.12, 0.18, 0.9], [0, 1, 1], num_bins=10)
    first, last = diagram.bins
    assert (first.low, first.high, first.total) == (pytest.approx(0.1), pytest.approx(0.2), 2)
    assert (first.probability, first.exact) == (pytest.approx(0.15), 0.5)
    assert (last.total, last.exact) == (1, 1)
    assert diagram.expected_error == pytest.approx((2 * 0.35 + 0.1) / 3)


def test_ends_of_the_range_have_bins():
    diagram = reliability([0.0, 1.0], [0, 1])
    assert [each.low for each in diagram.bins] == [0.0, pytest.approx(0.9)]
    assert diagram.expected_error == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 12))
def test_every_answer_is_in_the_bin_of_its_probability(probabilities, num_bins):
    bins = reliability(probabilities, [1.0] * len(probabilities), num_bins).bins
    assert sum(each.total for each in bins) == len(probabilities)
    assert all(each.low - 1e-9 <= each.probability <= each.high + 1e-9 for each in bins)


def test_reliability_is_plain_data():
    assert json.dumps(reliability([0.5], [1]).to_json())


@pytest.mark.parametrize("probability", [-0.1, 1.5, math.nan])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got .*: give exp\(score\)"):
        reliability([0.5, probability], [1, 1])


def test_no_answers_are_refused():
    with pytest.raises(ValueError, match="at least one; got 0 and 0"):
        reliability([], [])


def mean_score(margins, answered, has_answer, threshold):
    rows = zip(margins, answered, has_answer, strict=True)
    return 100 * np.mean([(s if has else 0.0) if m > threshold else float(not has) for m, s, has in rows])


def test_threshold_lies_midway_between_questions():
    found = tune_no_answer([3.0, 1.0, -1.0], [0.5, 0.0, 0.0], [True, False, False])
    assert found.margin == 2.0
    assert found.score == pytest.approx(100 * 2.5 / 3)


def test_all_are_answered_where_all_have_answers():
    found = tune_no_answer([3.0, -4.0], [0.5, 0.5], [True, True])
    assert found.margin < -4
    assert found.score == 50


def test_none_is_answered_where_none_has_an_answer():
    found = tune_no_answer([3.0, -4.0], [0.0, 0.0], [False, False])
    assert found.margin > 3
    assert found.score == 100


def test_questions_of_equal_margin_are_not_parted():
    found = tune_no_answer([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [True, False, False])
    assert found.margin > 1
    assert found.score == pytest.approx(100 * 2 / 3)


QUESTIONS = st.lists(
    st.tuples(st.integers(-3, 3).map(float), st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=12
)


@given(QUESTIONS)
def test_threshold_is_as_good_as_any(questions):
    margins, answered, has_answer = zip(*questions, strict=True)
    found = tune_no_answer(margins, answered, has_answer)
    assert found.score == pytest.approx(mean_score(margins, answered, has_answer, found.margin))
    others = [mean_score(margins, answered, has_answer, margin + 0.5) for margin in range(-5, 5)]
    assert found.score == pytest.approx(max(others))


def test_neighbouring_numbers_are_told_apart():
    high = 1.0
    low = np.nextafter(high, 0)
    found = tune_no_answer([high, low], [1.0, 0.0], [True, False])
    assert low <= found.margin < high


@pytest.mark.parametrize("margin", [math.nan, math.inf])
def test_margins_that_are_not_finite_are_refused(margin):
    with pytest.raises(ValueError, match="1 margins are not finite: check the logits"):
        tune_no_answer([margin, 0.0], [1.0, 1.0], [True, True])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="got 2 and 1"):
        tune_no_answer([1.0, 0.0], [1.0, 1.0], [True])
