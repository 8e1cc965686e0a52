"""Tells that images take other routes than those that a knob was calibrated on; light, as every prediction loads it."""

from dataclasses import dataclass

from modicum.adaptive.drift import P_VALUE, Drift
from modicum.storage.files import JSON
from modicum.storage.values import to_plain


@dataclass(frozen=True)
class DriftNotice:
    """Says that images take other routes than those that the knob was calibrated on; see `modicum.prediction.Notice`.

    Attributes:
        drift: The comparison, beyond chance.
        guarantee: The statement that is void by that; None where a budget was met instead.
    """

    drift: Drift
    guarantee: str | None

    def __str__(self) -> str:
        void = (
            "the cost at this knob may miss the budget" if self.guarantee is None else "the guarantee no longer holds"
        )
        named = sorted({**self.drift.calibrated, **self.drift.shares})
        shares = "; ".join(
            f"{route}: {self.drift.shares.get(route, 0):.1%}, calibrated {self.drift.calibrated.get(route, 0):.1%}"
            for route in named
        )
        return (
            f"these {self.drift.num_samples:,} images are not like the calibration images, so {void}: their routes "
            f"differ by more than chance (chi-square test, p = {self.drift.p_value:.1e}, below {P_VALUE}): {shares}; "
            "calibrate anew on images like these"
        )

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON."""
        return {"drift": {**to_plain(self.drift), "p_value_limit": P_VALUE, "void_guarantee": self.guarantee}}
