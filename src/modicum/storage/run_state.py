"""Values in a run's ``run.json``: when its training was started, by what, and which stages are done."""

from collections.abc import Mapping
from dataclasses import dataclass

from modicum.storage.files import JSON


@dataclass(frozen=True)
class Start:
    """One start of the training: the first, or a resumption."""

    time: str  # UTC, ISO 8601
    command: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class FinishedStage:
    """A stage of the training that is done."""

    name: str
    finished: str  # UTC, ISO 8601
    notes: Mapping[str, JSON]


@dataclass(frozen=True)
class RunState:
    """Holds the content of ``run.json``."""

    system: str
    created: str  # UTC, ISO 8601
    starts: tuple[Start, ...]  # oldest first, never empty
    recipe_digest: str  # see `digest_recipe`
    stages: tuple[FinishedStage, ...] = ()  # in the order in which they were finished
