"""Defines the interfaces of predictors and their answers, by which everything above the wings knows them.

Importing it is instant.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from modicum.storage.names import printable

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["path", "bytes", "array", "picture", "text", "table"]
"""Kinds of input: a file, the bytes of one, a NumPy array, a PIL image, texts in memory, columns in memory."""

PICTURE_KINDS: tuple[Kind, ...] = ("path", "bytes", "array", "picture")
"""Kinds of input that hold a picture."""


@dataclass(frozen=True)
class Limits:
    """Declares what a predictor accepts.

    Attributes:
        inputs: The kinds of input.
        size_px: Side of the square that every picture is brought to; None where the network sees a picture's own size.
        smallest_px: The shortest side that a picture may have; 0 where inputs are no pictures.
        multiple_px: What the sides of a picture must be multiples of.
        largest: The most pixels, or characters, of one input; None where only memory bounds it.
        batch: The most inputs of one call of the network; None where only memory bounds it.
        precisions: Types of the weights that give usable answers.
        knobs: The knobs that a call may name, between these two; None where nothing is decided.
        is_thread_safe: Whether several threads may share the predictor.
    """

    inputs: tuple[Kind, ...]
    size_px: int | None = None
    smallest_px: int = 0
    multiple_px: int = 1
    largest: int | None = None
    batch: int | None = None
    precisions: tuple[Literal["float64", "float32", "bfloat16", "float16"], ...] = ("float32", "bfloat16", "float16")
    knobs: tuple[float, float] | None = None
    is_thread_safe: bool = True


class Prediction(Protocol):
    """An answer for one input, which prints in a line or a few, serialises and draws itself."""

    @property
    def name(self) -> str:
        """The path of the input, or its place among the inputs."""

    def __str__(self) -> str:
        """Returns what a terminal shows."""

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON; pictures are left out."""

    def pictures(self) -> "Mapping[str, Image]":
        """Draws the answer; by kind, empty where there is nothing to see."""

    def encode(self) -> Mapping[str, bytes]:
        """Returns the files that the command line writes for it, by name; empty where it writes none."""


@dataclass(frozen=True)
class Failure:
    """An input that could not be read, or whose output could not be written.

    Attributes:
        name: Its path, or its place among the inputs.
        reason: Why.
        fault: What could not be done.
    """

    name: str
    reason: str
    fault: Literal["not read", "not written"] = "not read"

    def __str__(self) -> str:
        return f"{printable(self.name)}: {self.fault}: {printable(self.reason)}"

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON."""
        return {"name": self.name, "error": self.reason}

    def pictures(self) -> "Mapping[str, Image]":
        """Returns nothing: there is nothing to see."""
        return {}

    def encode(self) -> Mapping[str, bytes]:
        """Returns nothing: no file is written."""
        return {}


class Notice(Protocol):
    """A message about all answers together, after the last.

    A verb that yields answers returns it at its end, as the value of a generator, where there is something to tell.
    """

    def __str__(self) -> str:
        """Returns what a terminal shows."""

    def to_json(self) -> Mapping[str, object]:
        """Returns plain data, for JSON."""


State = TypeVar("State")


@dataclass(frozen=True, eq=False)
class Pending(Generic[State]):
    """Holds an input that waits for its next step.

    Attributes:
        item: Its place among the inputs of `Predictor.start`; a caller may replace it with a key of its own.
        group: The step, such as a stage, a resolution or a shape: inputs of equal groups can take it in one batch.
        state: What the predictor needs to go on.
        is_decided: Whether the steps to come depend on no knob, so that inputs with different knobs can share them.
    """

    item: Hashable
    group: Hashable
    state: State
    is_decided: bool = True


class Advanced(NamedTuple):
    """Holds what a step makes of pending inputs."""

    finished: Sequence[tuple[Hashable, Prediction | Failure]]  # by item
    survivors: Sequence[Pending[Any]]  # the others, by the group that they wait in now


def pend(
    read: Iterable[State | Failure], group_of: Callable[[State], Hashable], *, is_decided: bool = True
) -> list[Pending[State] | Failure]:
    """Lets what was read of some inputs wait for their first step; failures stay where they are.

    Args:
        read: What was read, in order.
        group_of: Returns the group of each; see `Pending`.
        is_decided: As of `Pending`.
    """
    return [
        found if isinstance(found, Failure) else Pending(place, group_of(found), found, is_decided)
        for place, found in enumerate(read)
    ]


class Predictor(Protocol):
    """Answers for inputs in memory or in files; several threads may share one where its limits say so.

    A predictor that decides takes ``knob`` with each call; None is the run's calibrated one.
    """

    @property
    def limits(self) -> Limits:
        """The inputs, sizes, precisions and knobs that it accepts."""

    @property
    def __call__(self) -> Callable[..., Prediction]:
        """Answers for one input; raises `modicum.storage.DataError` if it cannot be read."""

    @property
    def predict_all(self) -> Callable[..., Iterator[Prediction | Failure]]:
        """Answers for many, in order, as they come; unreadable ones are reported and skipped."""

    def start(self, inputs: Iterable[Any], /) -> list[Pending[Any] | Failure]:
        """Reads inputs, each of which waits for its first step then; for callers that make batches of many calls."""

    def advance(self, pendings: Sequence[Pending[Any]], /, *, knob: float | None = None) -> Advanced:
        """Takes one step with inputs of one group, at least one, of whatever calls of `start`.

        Once all are finished, their answers are those of ``predict_all`` at this knob. An input needs the same knob at
        every step until it is decided; from then on, ``knob`` changes nothing.

        Raises:
            ValueError: If the inputs wait for different steps.
        """
