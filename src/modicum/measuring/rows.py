"""Rows of measured figures with their targets, as every system's benchmark returns them."""

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        name: What was measured, and how.
        value: The figure.
        unit: E.g. ``"ratio"``, ``"ms"``, ``"MiB"``.
        target: What it should be, or None for a figure that is only reported.
        sense: Whether the target is a lower or an upper bound.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    sense: Literal["at least", "at most"] = "at least"

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target

    def cells(self) -> tuple[str, ...]:
        """What a terminal shows: what was measured, value, unit, target, and whether it holds."""
        target = "" if self.target is None else f"{self.sense} {self.target:g}"
        holds = {None: "", True: "yes", False: "NO"}[self.holds]
        return self.name, f"{self.value:.4g}", self.unit, target, holds

    def to_json(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return {**asdict(self), "holds": self.holds}
