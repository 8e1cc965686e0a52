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
        """Returns the cells for a terminal: what was measured, value, unit, target, and whether it holds."""
        target = "" if self.target is None else f"{self.sense} {self.target:g}"
        holds = {None: "", True: "yes", False: "NO"}[self.holds]
        return self.name, f"{self.value:.4g}", self.unit, target, holds

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON."""
        return {**asdict(self), "holds": self.holds}


def saving_rows(setting: str, static_s: float, routed_s: float, theory: float, target: float | None) -> list[Row]:
    """Returns the rows that set the saving of a routed network on the clock against that in multiply-adds.

    Args:
        setting: How it was measured, e.g. ``"batch 32, one thread"``.
        static_s: Seconds per image of the network without decisions.
        routed_s: Seconds per image of the routed network.
        theory: S_theory, the share of the multiply-adds that is saved.
        target: Of S_wall / S_theory; None to report it only.
    """
    wall = 1 - routed_s / static_s
    return [
        Row(f"static network, {setting}", 1000 * static_s, "ms/image"),
        Row(f"routed, {setting}", 1000 * routed_s, "ms/image"),
        Row(f"S_theory, {setting}", theory, "ratio"),
        Row(f"S_wall, {setting}", wall, "ratio"),
        Row(f"S_wall / S_theory, {setting}", wall / theory, "ratio", target),
    ]
