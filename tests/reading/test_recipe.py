import math

import pytest

from modicum.reading.recipe import AdamOptions, AugmentationOptions, TextOptions
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer_tokens": 0}, r"text.answer_tokens must be at least 1, got 0"),
        ({"stride": 401}, r"text.stride must be at most text.passage_tokens, 400, got 401"),
        ({"batch_tokens": 399}, r"text.batch_tokens must be at least text.passage_tokens, 400, got 399"),
        ({"test_share": 0.9}, r"text.calibration_share and test_share must be .* below 1 together, got 0.1 and 0.9"),
    ],
)
def test_impossible_texts_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=message):
        TextOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "optimizer.learning_rate must be above 0, got 0.0"),
        ({"warmup_steps": -1}, "optimizer.warmup_steps must be at least 0, got -1"),
        ({"betas": (0.8, 1.0)}, r"optimizer.betas must be in \[0, 1\), got \(0.8, 1.0\)"),
        ({"epsilon": 0.0}, "optimizer.epsilon must be above 0, got 0.0"),
        ({"weight_decay": -1.0}, "optimizer.weight_decay must be at least 0, got -1.0"),
        ({"gradient_clip": 0.0}, "optimizer.gradient_clip must be above 0 or none, got 0.0"),
    ],
)
def test_impossible_optimisers_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=message):
        AdamOptions(**options)


def test_ratio_of_paraphrases_is_positive():
    with pytest.raises(RecipeError, match=r"augmentation.ratio must be above 0, got 0.0"):
        AugmentationOptions(ratio=0.0)


@pytest.mark.parametrize(("step", "factor"), [(1, 0.10034), (100, 0.66811), (999, 1.0), (1000, 1.0), (10**6, 1.0)])
def test_published_warmup_rises_as_a_logarithm(step, factor):
    assert AdamOptions().warmth(step) == pytest.approx(factor, abs=1e-5)


def test_linear_warmup_is_another_schedule():
    options = AdamOptions(warmup="linear", warmup_steps=1000)
    assert [options.warmth(step) for step in (1, 100, 1000, 2000)] == [0.001, 0.1, 1.0, 1.0]


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("kind", ["log", "linear"])
def test_warmup_of_no_or_few_steps_is_finite(steps, kind):
    factors = [AdamOptions(warmup=kind, warmup_steps=steps).warmth(step) for step in (1, 2, 3)]
    assert all(math.isfinite(factor) and 0 < factor <= 1 for factor in factors)
    assert factors[-1] == 1
