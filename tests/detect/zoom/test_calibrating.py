"""Calibrated scores: what they mean, and that detections keep their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.zoom.calibrating import fit_score_map
from modicum.detect.zoom.score_map import IDENTITY, ScoreMap


def boastful(count, seed=0):
    """Scores whose logits are three times what hits justify."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, count)
    hits = random.random(count) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-3 * logits)), hits


@pytest.mark.parametrize("kind", ["isotonic", "temperature"])
def test_calibrated_scores_are_shares_of_hits(kind):
    scores, hits = boastful(20_000)
    test_scores, test_hits = boastful(20_000, seed=1)

    calibrated = fit_score_map(scores, hits, kind)(test_scores)

    for low in np.arange(0.05, 0.9, 0.1):
        chosen = (calibrated >= low) & (calibrated < low + 0.1)
        assert test_hits[chosen].mean() == pytest.approx(calibrated[chosen].mean(), abs=0.05)


def test_temperature_is_that_of_the_scores():
    scores, hits = boastful(50_000)

    calibrated = fit_score_map(scores, hits, "temperature")

    logits = np.array([-2.0, 0.0, 2.0])
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(calibrated(1 / (1 + np.exp(-3 * logits))), expected, atol=0.02)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 300), st.sampled_from(["isotonic", "temperature", None]))
def test_detections_keep_their_order(seed, count, kind):
    random = np.random.default_rng(seed)
    scores, hits = np.sort(random.random(count)), random.random(count) < 0.5

    calibrated = fit_score_map(scores, hits, kind)(scores)

    assert (np.diff(calibrated) >= 0).all()
    assert (np.diff(calibrated)[np.diff(scores) > 1e-6] > 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_few_detections_are_fitted_by_two_numbers():
    few, many = (fit_score_map(*boastful(count)) for count in (999, 1000))

    assert len(few.before) == 257
    assert len(many.before) != 257


@pytest.mark.parametrize("hits", [[True, True], [False, False]])
def test_nothing_is_learnt_where_all_detections_are_alike(hits):
    assert fit_score_map(np.array([0.2, 0.8]), np.array(hits)) is IDENTITY
    assert fit_score_map(np.zeros(0), np.zeros(0, dtype=bool)) is IDENTITY


def test_scores_that_are_right_less_often_the_higher_they_are_stay_as_they_are():
    scores = np.linspace(0.01, 0.99, 100)

    assert fit_score_map(scores, scores < 0.5, "temperature") is IDENTITY


def test_separable_scores_give_finite_maps():
    scores = np.linspace(0.01, 0.99, 100)

    assert np.isfinite(fit_score_map(scores, scores > 0.5, "temperature").after).all()


def test_a_score_without_a_verdict_is_refused():
    with pytest.raises(ValueError, match="got 2 scores and 1 hits"):
        fit_score_map(np.array([0.1, 0.2]), np.array([True]))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([0.0, 0.0], [0.0, 1.0], "knots must rise"),
        ([0.0, 1.0], [1.0, 0.0], "knots must rise"),
        ([0.0], [0.0, 1.0], "a map needs knots"),
    ],
)
def test_maps_that_do_not_rise_are_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        ScoreMap(np.array(before), np.array(after))
