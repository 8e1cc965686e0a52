"""Defines the interface of a set of samples of any kind: enough to check, split and compare them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Part = Literal["train", "calibration", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

SPLIT_NAMES: Mapping[str, Part] = {
    "train": "train",
    "val": "calibration",
    "valid": "calibration",
    "validation": "calibration",
    "calibration": "calibration",
    "test": "test",
}
"""The names that sets give to their parts, and what we call that part."""


class Item(Protocol):
    """One sample of a set; what else a set tells of it is the task's own."""

    @property
    def id(self) -> str:
        """Its name, unique in its set and the same on every machine."""

    @property
    def split(self) -> Part | None:
        """The part that the set itself puts it into; None where the set does not say."""


@dataclass(frozen=True, slots=True)
class Record:
    """A sample of which nothing is known but its place.

    Attributes:
        id: Its name, unique in its source and the same on every machine.
        split: The part that the set itself puts it into; None where the set does not say.
    """

    id: str
    split: Part | None


class Source(Protocol):
    """A set of samples."""

    @property
    def origin(self) -> str:
        """Its path, or ``"embedded:"`` and a name."""

    @property
    def records(self) -> Sequence[Item]:
        """The samples, in an order that does not depend on the machine."""

    @property
    def unread(self) -> tuple[str, ...]:
        """Files beside the samples that may be pictures, but have no suffix that is read."""
