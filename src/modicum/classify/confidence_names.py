"""Names the measures of confidence; no torch here."""

from typing import Literal

ConfidenceName = Literal["margin", "probability", "entropy", "agreement"]
