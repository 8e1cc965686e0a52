"""Names the ways in which a DRNet decides; no torch here."""

from typing import Literal

DecisionName = Literal["predictor", "confidence"]
