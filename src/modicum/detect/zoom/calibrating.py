"""Makes scores probabilities, so that those of two detectors can be compared.

A score is mapped to the share of detections of that score that are right, on images that the detector was not trained
on: without it a gain |g - p_l| - |g - p_h| mixes two scales, and merging prefers the more boastful detector.
"""
# N detections

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from modicum.detect.overlaps import Flags, Numbers
from modicum.detect.zoom.score_map import IDENTITY, ScoreMap

Kind: TypeAlias = Literal["isotonic", "temperature"]

ISOTONIC_FROM = 1000  # detections: with fewer, steps follow chance, and two numbers say what is known
_STRICT = 1e-3  # share of the score itself, so that detections keep their order where isotonic regression is flat
_KNOTS = 257  # of a temperature, evenly spaced in logits: the line between two is within 1e-4 of the curve
_FARTHEST = 12.0  # logits
_STRENGTH = 100.0  # of the data against the penalty that keeps the fit of separable scores finite


def fit_score_map(scores: Numbers, hits: Flags, kind: Kind | None = None) -> ScoreMap:
    """Fits a map from scores to the share of hits.

    Args:
        scores: Shape (N,), in [0, 1], of detections of all images together.
        hits: Shape (N,): whether an object is there; leave detections in regions to be ignored out.
        kind: Isotonic regression, or a temperature and an offset of logits; None: the former from 1,000 detections on.

    Returns:
        The map; without a detection, or where all or none are hits, the identity, as nothing can be learnt.

    Raises:
        ValueError: If ``scores`` and ``hits`` differ in length.
    """
    if scores.shape != hits.shape:
        raise ValueError(f"each score needs to be a hit or not, got {len(scores)} scores and {len(hits)} hits")
    if not len(scores) or hits.all() or not hits.any():
        return IDENTITY
    kind = kind or ("isotonic" if len(scores) >= ISOTONIC_FROM else "temperature")
    return _fit_isotonic(scores, hits) if kind == "isotonic" else _fit_temperature(scores, hits)


def pool(parts: Sequence[Numbers]) -> Numbers:
    """Joins scores of several images, or none."""
    return np.concatenate([np.zeros(0), *parts])


def logit(scores: Numbers) -> Numbers:
    """Returns the logit of probabilities, at most 12 either way."""
    logits: Numbers = np.clip(np.log(np.maximum(scores, 1e-12)) - np.log(np.maximum(1 - scores, 1e-12)), -12, 12)
    return logits


def _fit_isotonic(scores: Numbers, hits: Flags) -> ScoreMap:
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, hits.astype(np.float64))
    knots = np.unique(np.concatenate([[0.0, 1.0], curve.X_thresholds_.astype(np.float64)]))
    after = (1 - _STRICT) * curve.predict(knots) + _STRICT * knots
    return ScoreMap(knots, np.maximum.accumulate(after))


def _fit_temperature(scores: Numbers, hits: Flags) -> ScoreMap:
    """Fits sigmoid(a logit + b), a > 0."""
    curve = LogisticRegression(C=_STRENGTH).fit(logit(scores)[:, None], hits)
    slope, offset = float(curve.coef_[0, 0]), float(curve.intercept_[0])
    if slope <= 0:  # higher scores are right less often: no rising map says so
        return IDENTITY
    knots = np.linspace(-_FARTHEST, _FARTHEST, _KNOTS)
    return ScoreMap(_sigmoid(knots), _sigmoid(slope * knots + offset))


def _sigmoid(logits: Numbers) -> Numbers:
    p: Numbers = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    return p
