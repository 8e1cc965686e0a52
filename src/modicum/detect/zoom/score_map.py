"""Calibrated scores: a rising map from a detector's scores to shares of hits (needs no torch)."""
# N detections, P knots

from dataclasses import dataclass

import numpy as np

from modicum.detect.overlaps import Numbers


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """A rising map from scores to calibrated scores: linear between knots, constant outside.

    Attributes:
        before: Shape (P,), rising, in [0, 1].
        after: Shape (P,), rising, in [0, 1].
    """

    before: Numbers
    after: Numbers

    def __post_init__(self) -> None:
        if self.before.shape != self.after.shape or self.before.ndim != 1 or not len(self.before):
            raise ValueError(f"a map needs knots (P,), got {self.before.shape} and {self.after.shape}")
        if (np.diff(self.before) <= 0).any() or (np.diff(self.after) < 0).any():
            raise ValueError("knots must rise")

    def __call__(self, scores: Numbers) -> Numbers:
        """Returns calibrated scores (N,) of scores (N,), in the same order."""
        calibrated: Numbers = np.interp(scores, self.before, self.after)
        return calibrated


IDENTITY = ScoreMap(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
