"""Standings of a calibrated classifier against simple rivals of equal mean cost, as plain values."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from modicum.adaptive.costs import Unit

Kind: TypeAlias = Literal["static", "mix", "cascade"]


@dataclass(frozen=True)
class Standing:
    """One simple rival at the mean cost of the calibrated network, and the gain over it.

    Attributes:
        kind: "static" is one network for all images, "mix" two of them at random, "cascade" the confidence cascade
            of the system's own static members.
        name: Name of the network, or of those that it consists of.
        cost: Its mean cost, at most that of the calibrated network.
        worth: Its accuracy on the test images.
        gain: Accuracy of the calibrated network above it; negative where it is below.
        low: Lower end of the gain's paired bootstrap 95 % interval.
        high: Its upper end.
    """

    kind: Kind
    name: str
    cost: float
    worth: float
    gain: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt which of both is better."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Standings:
    """All simple rivals in one unit of cost.

    Attributes:
        unit: What costs count.
        cost: Mean cost of the calibrated network, which no rival exceeds.
        rivals: At most one of each kind; a kind is missing if it has nothing so cheap, and the mix if the best is a
            static network by itself.
        untimed: Networks without a decision that were not timed, so that none of the rivals consists of them.
        unpaired: Networks without a decision whose answers to single images were not kept, by an older training: the
            interval of a gain over them is wider than need be.
    """

    unit: Unit
    cost: float
    rivals: tuple[Standing, ...]
    untimed: tuple[str, ...] = ()
    unpaired: tuple[str, ...] = ()

    @property
    def strongest(self) -> Standing | None:
        """The most accurate rival, of equals the simplest; None where nothing is so cheap."""
        return max(self.rivals, key=lambda rival: rival.worth, default=None)
