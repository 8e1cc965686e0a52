"""What a wing, a trained run and a predictor offer; everything above the wings knows them by this module alone.

The protocols are structural: a wing is any object with these parts. What a wing cannot do it declares with None, or in
its `Limits`; nobody asks for its name. A part whose options are the wing's own is a callable, and its signature is what
the command line offers. Importing this module is instant.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from modicum.recipes import build_recipe, read_recipe
from modicum.storage.names import printable
from modicum.storage.outputs import claim, has_list
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType
    from torch import nn

Kind = Literal["path", "bytes", "array", "picture", "text", "table"]
"""What an input may be: a file, the bytes of one, a NumPy array, a PIL image, texts in memory, columns in memory."""

PICTURE_KINDS: tuple[Kind, ...] = ("path", "bytes", "array", "picture")
"""What a picture may be given as."""


@dataclass(frozen=True)
class Limits:
    """What a predictor takes.

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


class Report(Protocol):
    """What a verb measured or found, which serialises and prints itself."""

    def to_json(self) -> Mapping[str, object]:
        """Returns plain data, for JSON."""

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows, in order."""


class Predictor(Protocol):
    """Answers for inputs in memory or in files; several threads may share one where its limits say so.

    A predictor that decides takes ``knob`` with each call; None is the run's calibrated one.
    """

    @property
    def limits(self) -> Limits:
        """What it takes."""

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


class Measured(Protocol):
    """A figure of a benchmark, with the target that it has to meet if it has one."""

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without one."""

    def cells(self) -> tuple[str, ...]:
        """Returns what a terminal shows: what was measured, value, unit, target, and whether it holds."""

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON."""


class Recipe(Protocol):
    """What everything above a wing needs to know of any recipe; a recipe is a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def data(self) -> str | None:
        """Where the data are; None is the embedded default."""

    def facts(self) -> dict[str, str]:
        """Returns what a reader of a report wants to know of it, by name."""


R = TypeVar("R", bound=Recipe)
N = TypeVar("N", bound="nn.Module")


class System(ABC, Generic[R, N]):
    """One system; its parts are imported when they are asked for, so that listing systems is instant.

    Attributes:
        id: Its name everywhere: command line, files, Python.
        wing: Id of its wing.
        summary: What a user gets, in one line.
        recipe: Its recipe, a dataclass.
        default_recipe: Name of the recipe for the embedded default data.
        own_data_recipe: Name of the recipe for a user's own data.
        few_data_recipe: Name of the recipe for own data of few images; None where one serves all.
        is_static: Its routes are plain networks, one of which serves all images: the frontier of comparisons.
        packages: Modules that its report needs beyond the core's, which the extra of the wing's name brings.
        examples: Commands that train it, with what they do, for its help.
        options: Flags that its help begins with, beside those of every training.
        export: Returns what writes the network as a deployable folder; None where it has no such form yet.
        bench: Returns what measures speed and memory; None where only a run's own report times it.
        details: Returns what tells, from (network, data, judged test part, routes), what a report shows of this kind of
            network beside what all show; None for nothing.
    """

    id: str
    wing: str
    summary: str
    recipe: type[R]
    default_recipe: str
    own_data_recipe: str
    few_data_recipe: str | None = None
    is_static: bool = False
    packages: tuple[str, ...] = ()
    examples: tuple[str, ...]
    options: tuple[str, ...]
    export: Callable[[], Callable[..., Path]] | None = None
    bench: Callable[[], Callable[..., "Sequence[Measured]"]] | None = None
    details: Callable[[], Callable[..., tuple[Any, ...]]] | None = None

    @abstractmethod
    def fit(self) -> Callable[[R, RunFolder], N]:
        """Returns what trains a network in a run folder."""

    @abstractmethod
    def network(self) -> Callable[..., N]:
        """Returns what builds its network from what ``storage_config`` gave."""


AnySystem: TypeAlias = System[Any, Any]
"""A system of whatever wing."""


@dataclass(frozen=True)
class Run(Generic[R, N]):
    """A run folder, and the system that it is of.

    Attributes:
        folder: The folder.
        system: The system.
    """

    folder: RunFolder
    system: System[R, N]

    @cached_property
    def recipe(self) -> R:
        """Its resolved recipe."""
        return build_recipe(self.system.recipe, read_recipe(self.folder.recipe, self.system.recipe))

    def network(self) -> N:
        """Returns its network, in evaluation mode on the CPU.

        Raises:
            WeightsError: If the weights are missing, damaged, or do not fit the network.
        """
        from modicum.storage.weights import load_network

        return load_network(self.folder.path, {self.system.id: self.system.network()})

    def claim(self, *names: str, force: bool = False) -> None:
        """Makes sure, before the work, that files of the folder were not changed since modicum wrote them.

        Args:
            names: The files.
            force: Overwrite them anyway.

        Raises:
            OutputError: If one was changed.
        """
        folder = self.folder.path
        # Training begins with an empty folder: what stands in one without a list, an earlier modicum wrote.
        claim((folder / name for name in names), force=force or not has_list(folder))


class Trained(Protocol):
    """A run that is opened for use. The keyword arguments of its methods are options of the command line."""

    def __init__(self, run: Run[Any, Any]) -> None: ...

    @property
    def run(self) -> Run[Any, Any]:
        """Where it is."""

    @property
    def predictor(self) -> Callable[..., Predictor]:
        """Returns what answers for single inputs."""

    @property
    def predict(self) -> Callable[..., Iterator[Prediction | Failure]]:
        """Answers for a user's files, and writes what the wing writes."""

    def figures(self) -> Report:
        """Returns what the last evaluation measured, read from the folder."""

    @property
    def evaluate(self) -> Callable[..., Report]:
        """Measures the run on its test data beside its baselines; keeps the figures in the folder."""

    @property
    def report(self) -> Callable[..., Report]:
        """Evaluates the run and writes its ``report.html``."""

    @property
    def calibrate(self) -> Callable[..., Report] | None:
        """Chooses the knob for a budget, and keeps it; None where nothing is decided."""

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the network as a deployable folder, checked against PyTorch, and returns the folder."""


class Examples(NamedTuple):
    """Inputs for tests of a predictor that know no wing by name."""

    good: object
    broken: object
    other: object  # good, too


@dataclass(frozen=True)
class Wing:
    """A task.

    Attributes:
        id: Its name, e.g. ``"classify"``.
        trained: The class of its trained runs.
        compare: Sets the figures of several runs, given first, side by side.
        survey: Checks a data set, given first: what is in it, what cannot be read, how it would be split. Its keyword
            arguments are the options that the command ``data`` takes for this task.
        examples: Returns inputs for tests, written into a folder where they are files.
    """

    id: str
    trained: type[Trained]
    compare: Callable[..., Report]
    survey: Callable[..., Report]
    examples: Callable[[Path], Examples]
