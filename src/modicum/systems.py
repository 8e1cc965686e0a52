"""The systems and wings that modicum has, by name; each is imported when it is asked for."""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, TypeVar

from modicum.contract import AnySystem, Run, Trained, Untrained, Wing
from modicum.recipes import closest
from modicum.storage.errors import MissingExtraError, RecipeError
from modicum.storage.runs import RunFolder

QUESTION_SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
"""File names that count as questions about texts, beside tables with the columns context and question."""

log = logging.getLogger(__name__)

FEW_IMAGES = 1000
"""A set of fewer images is trained by the recipe for few, where a system has one."""

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """Things by name, each of which is loaded when it is asked for.

    Args:
        loaders: By name, what loads each.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], T]]) -> None:
        self._loaders = {name: cache(load) for name, load in loaders.items()}

    def __getitem__(self, name: str) -> T:
        return self._loaders[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


def _system(place: str) -> Callable[[], AnySystem]:
    """Returns what imports and makes the system of a class, which is given as "module:class" below this package."""
    return lambda: resolve_name(f"modicum.{place}")()


def _classify_wing() -> Wing:
    from modicum.classify.wing import CLASSIFY

    return CLASSIFY


def _restore_wing() -> Wing:
    from modicum.restore.wing import RESTORE

    return RESTORE


def _saliency_wing() -> Wing:
    from modicum.saliency.wing import SALIENCY

    return SALIENCY


def _reading_wing() -> Wing:
    from modicum.reading.wing import READING

    return READING


def _graphs_wing() -> Wing:
    from modicum.graphs.wing import GRAPHS

    return GRAPHS


def _detect_wing() -> Wing:
    from modicum.detect.wing import DETECT

    return DETECT


SYSTEMS: Mapping[str, AnySystem] = OnDemand(
    {
        "drnet": _system("classify.drnet.system:DRNetSystem"),
        "blockdrop": _system("classify.blockdrop.system:BlockDropSystem"),
        "static": _system("classify.static.system:StaticSystem"),
        "ranet": _system("classify.ranet.system:RANetSystem"),
        "cascade": _system("classify.cascade.system:CascadeSystem"),
        "resolution-and-blocks": _system("classify.resolution_and_blocks.system:ResolutionAndBlocksSystem"),
        "rnan": _system("restore.rnan.system:RNANSystem"),
        "saliency": _system("saliency.system:SaliencySystem"),
        "qanet": _system("reading.qanet.system:QANetSystem"),
        "graphs": _system("graphs.system:GraphsSystem"),
        "zoom": _system("detect.zoom.system:ZoomSystem"),
    }
)
WINGS: Mapping[str, Wing] = OnDemand(
    {
        "classify": _classify_wing,
        "restore": _restore_wing,
        "saliency": _saliency_wing,
        "reading": _reading_wing,
        "graphs": _graphs_wing,
        "detect": _detect_wing,
    }
)


def get_system(name: str) -> AnySystem:
    """Returns the system of that name.

    Raises:
        RecipeError: If there is none; the message suggests one.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    raise RecipeError(f"system {name!r} is not known: {closest(name, SYSTEMS)}")


def recipe_for(system: AnySystem, data: str | None) -> str:
    """Chooses the recipe of a system if the user names none; logs a choice that depends on the data.

    Args:
        system: What is trained.
        data: Where the user's data are; None is the embedded default.
    """
    if not data:
        return system.default_recipe
    own, few = system.own_data_recipe, system.few_data_recipe
    if few is None:
        return own
    from modicum.classify.counting import holds_fewer  # image libraries, which listing the systems does without

    if not holds_fewer(data, FEW_IMAGES):
        return own
    told = "%s holds fewer than %d images: the recipe is %s; for that of larger sets: --recipe %s"
    log.info(told, data, FEW_IMAGES, few, own)
    return few


def check_packages(system: AnySystem) -> None:
    """Raises MissingExtraError, before hours of work, if the report of a training could not be made.

    Raises:
        MissingExtraError: If a package is not installed.
    """
    for package in system.packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, system.wing)


def system_of(run: str | Path) -> AnySystem:
    """Returns the system of a run.

    Raises:
        RunError: If the folder is missing or not a run, or its recipe has changed.
        DataError: If its state is damaged.
    """
    folder = RunFolder.open(run)
    folder.verify_recipe()
    return get_system(folder.read_state().system)


def open_run(run: str | Path) -> Trained:
    """Opens a run for use; its recipe and its network are read when they are needed.

    Raises:
        RunError: If the folder is missing or not a run, or its recipe has changed.
        DataError: If its state is damaged.
    """
    system = system_of(run)
    return WINGS[system.wing].trained(Run(RunFolder.open(run), system))


def open_untrained(name: str | Path) -> Untrained | None:
    """Returns what answers without a run, if ``name`` is a system that can; None otherwise, and where a file has it.

    So a folder of that name wins over the system.
    """
    if str(name) not in SYSTEMS or Path(name).exists():
        return None
    untrained = SYSTEMS[str(name)].untrained
    return None if untrained is None else untrained()


def network_builders() -> Mapping[str, Callable[..., Any]]:
    """Returns each network's builder by stored name, for `modicum.storage.weights.load_network`."""
    return OnDemand({name: partial(_builder, name) for name in SYSTEMS})


def _builder(name: str) -> Callable[..., Any]:
    return SYSTEMS[name].network()


def task_of(source: str) -> Literal["classify", "reading", "graphs"]:
    """Guesses the task of a data set from its names and, for a table, its columns."""
    from modicum.graphs.recipe import TABLE_SUFFIXES

    path = Path(source).expanduser()
    if path.is_dir():
        is_reading = any(file.name.lower().endswith(QUESTION_SUFFIXES) for file in path.iterdir() if file.is_file())
        return "reading" if is_reading and not any(file.is_dir() for file in path.iterdir()) else "classify"
    if path.name.lower().endswith(QUESTION_SUFFIXES):
        return "reading"
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        return "classify"
    from modicum.graphs.table import read_table

    return "reading" if {"context", "question"} <= set(read_table(path).names) else "graphs"
