"""Defines the interfaces of a wing, a system and a trained run, by which everything above the wings knows them.

The protocols are structural: a wing is any object with these parts. What a wing cannot do it declares with None, or in
the `modicum.prediction.Limits` of its predictors; nobody asks for its name. A part whose options are the wing's own is
a callable, and its signature is what the command line offers. Importing this module is instant.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from modicum.prediction import Failure, Prediction, Predictor
from modicum.recipes import build_recipe, read_recipe
from modicum.storage.outputs import claim, has_list
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from rich.console import RenderableType
    from torch import nn


class Report(Protocol):
    """Holds what a verb measured or found; serialises and prints itself."""

    def to_json(self) -> Mapping[str, object]:
        """Returns plain data, for JSON."""

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows, in order."""


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
    """Declares what everything above a wing reads from any recipe; a recipe is a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def data(self) -> str | None:
        """Path of the data; None is the embedded default."""

    def facts(self) -> dict[str, str]:
        """Returns what a reader of a report wants to know of it, by name."""


class Untrained(Protocol):
    """Answers with options alone, without a run. The keyword arguments are options of the command line."""

    @property
    def predictor(self) -> Callable[..., Predictor]:
        """Returns what answers for single inputs."""

    @property
    def predict(self) -> Callable[..., Iterator[Prediction | Failure]]:
        """Answers for a user's files, and writes what the wing writes."""


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
        prepared: Returns what makes a trained network faster for prediction and measuring, with the same answers up to
            rounding; None where it is used as it is stored.
        details: Returns what tells, from (network, data, judged test part, routes), what a report shows of this kind of
            network beside what all show; None for nothing.
        refit: Returns, from a recipe, what fits anew, from (network, batches of inputs and targets), all that training
            fits on the calibration part; None where it fits nothing there. A guarantee then rests on half of that
            part, and the other half is what is fitted on.
        first_terms: Tells, from a recipe, the loss and the certainty that the knob of a trained run is chosen for at
            first; None where that is a budget.
        num_choices: Tells, from a recipe, among how many networks training chooses by their results on the calibration
            part; None for one, so no choice.
        fixed_routes: Returns what lists, from (network, scores of samples that nothing is tested on), the routes that
            serve as static rivals and of which a confidence cascade is made; None where the routes of a menu are static
            rivals, but no cascade is made of them.
        untrained: Returns what answers without training, such as with a user's own network; None where a run is needed.
        alone: Returns what builds, from (network, name of a baseline), a network that runs what the baseline runs and
            no route does, so that it can be timed; None where routes run what baselines do.
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
    prepared: Callable[[], Callable[[Any], Any]] | None = None
    details: Callable[[], Callable[..., tuple[Any, ...]]] | None = None
    refit: Callable[[R], Callable[..., None] | None] | None = None
    num_choices: Callable[[R], int] | None = None
    first_terms: Callable[[R], tuple[float, float] | None] | None = None
    fixed_routes: Callable[[], Callable[..., Any]] | None = None
    untrained: Callable[[], Untrained] | None = None
    alone: Callable[[], "Callable[..., nn.Module | None]"] | None = None

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
        return build_recipe(self.system.recipe, read_recipe(self.folder.recipe, self.system.recipe, of_run=True))

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
        """The run folder and its system."""

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
        """Chooses the knob for a budget or a guarantee, and keeps it; None where nothing is decided."""

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
