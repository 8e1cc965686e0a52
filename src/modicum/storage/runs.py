"""Run folders: what one training leaves behind, under the same names for every system."""

import difflib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modicum.storage.errors import DataError, RunError
from modicum.storage.files import JSON, is_leftover, read_jsonl, write_atomically
from modicum.storage.header import WEIGHTS_NAME, read_header
from modicum.storage.lock import locked
from modicum.storage.provenance import utc_now
from modicum.storage.run_state import FinishedStage, RunState, Start
from modicum.storage.sealing import read_sealed, write_sealed

STATE_NAME = "run.json"
_LOCK_NAME = ".lock"
RECIPE_NOTE = "recipe_digest"  # of weights: which recipe trained them
START_NOTE = "start"  # of weights: the pretrained weights that the training started from, by backbone
CALIBRATION_NOTE = "calibration"  # of weights: what the knob was chosen for and on
_BEGINNINGS = ("words", "tensorboard")  # folders that are filled before the first step
WRITE_AGAIN = "put the file back, or let train --resume write it again from its last checkpoint"
_MAX_NAMED = 5  # neighbouring runs, foreign files, differing lines that a message names


@dataclass(frozen=True)
class RunFolder:
    """A run folder: the names in it, and its state; every write is atomic.

    Use `create`, `resume` or `open`; the constructor checks nothing.
    """

    path: Path

    @classmethod
    def create(
        cls, path: str | Path, *, system: str, recipe_text: str, command: str, versions: Mapping[str, str]
    ) -> "RunFolder":
        """Creates a new run in a folder that is missing or empty.

        Args:
            path: The folder; missing parents are made.
            system: Id of the system that is trained.
            recipe_text: The resolved recipe, enough to repeat the run.
            command: The command line, or the call, that began it.
            versions: What it is made with, see `modicum.storage.versions`.

        Raises:
            RunError: If the folder holds a run already, or anything else.
        """
        run = cls(Path(path))
        run._refuse_occupied()
        write_atomically(run.recipe, recipe_text)
        now = utc_now()
        # Last, because it makes the folder a run: a run without recipe never exists.
        run._write(RunState(system, now, (Start(now, command, versions),), digest_recipe(recipe_text.encode())))
        return run

    @classmethod
    @contextmanager
    def begin(
        cls,
        path: str | Path,
        *,
        resume: bool,
        system: str,
        recipe_text: str,
        command: str,
        versions: Mapping[str, str],
    ) -> Iterator["RunFolder"]:
        """Opens a run to train in: `create` or `resume` under the lock, which is held while the block runs.

        A new run whose block fails before there is anything to keep is removed, so that the corrected command finds
        the folder free; one that was interrupted stays, to be resumed.

        Raises:
            RunError: As `create`, `resume` and `locked`.
        """
        run = cls.open(path) if resume else cls(Path(path))
        if not resume:
            run._refuse_occupied()
            run.path.mkdir(parents=True, exist_ok=True)
        start = cls.resume if resume else cls.create
        with run.locked():
            run = start(path, system=system, recipe_text=recipe_text, command=command, versions=versions)
            try:
                yield run
            except Exception:
                if not resume:
                    run.discard_unused()
                raise

    @classmethod
    def resume(
        cls, path: str | Path, *, system: str, recipe_text: str, command: str, versions: Mapping[str, str]
    ) -> "RunFolder":
        """Resumes an existing run with the same system and recipe; adds the new start to its state.

        Raises:
            RunError: If there is no run, or its system or recipe differs.
        """
        run = cls.open(path)
        state = run.read_state()
        if state.system != system:
            raise RunError(f"{run.path} is a run of {state.system!r}, not of {system!r}: choose another --out")
        run.check_same_recipe(recipe_text)
        run._write(replace(state, starts=(*state.starts, Start(utc_now(), command, versions))))
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Opens an existing run.

        Raises:
            RunError: If the folder is missing or not a run; the message names runs nearby.
        """
        run = cls(Path(path))
        if run.state.is_file():
            return run
        fault = f"is not a run (no {STATE_NAME})" if run.path.exists() else "does not exist"
        raise RunError(f"{run.path} {fault}: {_suggest_runs(run.path)}")

    def read_state(self) -> RunState:
        """Reads the current content of ``run.json``.

        Raises:
            RunError: If fields are missing or unknown.
            DataError: If it is not JSON, or is not as it was written.
        """
        raw = read_sealed(self.state, remedy="put a copy back, or begin a new run")
        try:
            starts = tuple(Start(**start) for start in raw.pop("starts"))
            stages = tuple(FinishedStage(**stage) for stage in raw.pop("stages"))
            return RunState(starts=starts, stages=stages, **raw)
        except (KeyError, TypeError) as error:
            raise RunError(f"{self.state} is damaged or of another version of modicum: {error}") from error

    def finished_stages(self) -> list[str]:
        """Returns the names of the finished stages, in the order in which they were finished."""
        return [stage.name for stage in self.read_state().stages]

    def mark_finished(self, stage: str, notes: Mapping[str, JSON] | None = None) -> None:
        """Records that a stage is done; a repeated stage moves to the end with its new notes."""
        state = self.read_state()
        others = (done for done in state.stages if done.name != stage)
        self._write(replace(state, stages=(*others, FinishedStage(stage, utc_now(), notes or {}))))

    def require_finished(self) -> None:
        """Raises RunError if the training has not left its weights yet."""
        if not self.weights.exists():
            raise RunError(f"{self.path} has no {self.weights.name} yet: finish its training with --resume")

    def weights_left_by(self, stage: str, path: Path, *, remedy: str) -> Path | None:
        """Returns the weights that a stage left beside the network's; None if this run has not finished that stage.

        Args:
            stage: Its name.
            path: The file that it wrote.
            remedy: What the user can do if it is gone; ends the message.

        Raises:
            RunError: If the stage is finished but its file is gone.
        """
        if path.is_file():
            return path
        if stage in self.finished_stages():
            raise RunError(f"{self.path} has lost its {path.name}, which its stage {stage!r} wrote: {remedy}")
        return None

    def discard_unused(self) -> None:
        """Removes a run if its folder holds only its beginning; leaves any other as it is.

        What recipe and data tell again counts as its beginning: which samples are for what, words, empty folders.
        """
        if any(file.is_file() and not self._is_beginning(file) for file in self.path.rglob("*")):
            return
        if not self.finished_stages():
            shutil.rmtree(self.path)

    def _is_beginning(self, file: Path) -> bool:
        place = file.relative_to(self.path)
        if len(place.parts) > 1:
            return place.parts[0] in _BEGINNINGS
        names = {self.recipe.name, self.splits.name, self.content.name, STATE_NAME, _LOCK_NAME}
        is_empty_log = file == self.metrics and not file.stat().st_size
        return file.name in names or is_leftover(file) or is_empty_log

    def verify_recipe(self) -> None:
        """Compares the recipe with the one of the run's start, and with the one that trained its weights.

        Raises:
            RunError: If it has changed or is gone.
            WeightsError: If the weights cannot be read.
        """
        if not self.recipe.is_file():
            raise RunError(f"{self.path} has lost its {self.recipe.name}: put the file back, or begin a new run")
        found, known = digest_recipe(self.recipe.read_bytes()), {self.read_state().recipe_digest}
        if self.weights.is_file():
            known.add(str(read_header(self.weights).notes.get(RECIPE_NOTE, found)))
        if known != {found}:
            raise RunError(
                f"{self.recipe} is not the recipe that this run was trained by (its digest differs): put a copy back, "
                "or begin a new run"
            )

    def read_metrics(self) -> list[dict[str, Any]]:
        """Reads what was measured during training, one row per line of the log; empty if there is no log.

        Raises:
            DataError: If a line is not of such a log.
        """
        rows = read_jsonl(self.metrics) if self.metrics.exists() else []  # a run may need no training
        for number, row in enumerate(rows, start=1):
            numbers = [value for value in row.values() if isinstance(value, int)]
            is_placed = isinstance(row.get("stage"), str) and isinstance(row.get("step"), int | None)
            if not is_placed or max(map(abs, numbers), default=0) >= 2**63:
                raise DataError(
                    f"{self.metrics} line {number} is not of a training's log: remove the file to go on without it"
                )
        return rows

    def recipe_note(self) -> dict[str, JSON]:
        """Returns a note for weights on the recipe that trained them; empty if the folder has no recipe."""
        return {RECIPE_NOTE: digest_recipe(self.recipe.read_bytes())} if self.recipe.is_file() else {}

    def check_same_recipe(self, recipe_text: str) -> None:
        """Raises RunError unless the recipe is the one that this run was begun with; line ends do not matter.

        Raises:
            RunError: If lines differ; the message names them, ``-`` in the run, ``+`` as requested.
        """
        self.verify_recipe()
        ours = self.recipe.read_text(encoding="utf-8").splitlines()
        # The first two lines of a unified diff are file names; those with @ tell positions.
        lines = list(difflib.unified_diff(ours, recipe_text.splitlines(), n=0, lineterm=""))[2:]
        changes = [line for line in lines if not line.startswith("@@")]
        if changes:
            raise RunError(
                f"{self.path} was begun with another recipe: {_name_some(changes, '; ')} "
                "(- this run, + asked for): resume with the same recipe, or choose another --out"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from training in this folder while the block runs; one process of a group asks for it.

        Raises:
            RunError: On entering, if another process holds the lock; that of a killed process is free.
        """
        return locked(self.path / _LOCK_NAME)

    def _write(self, state: RunState) -> None:
        write_sealed(self.state, asdict(state))

    def _refuse_occupied(self) -> None:
        if self.state.exists():
            raise RunError(f"{self.path} holds a run already: pass --resume to go on with it, or choose another --out")
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, not a folder: choose another --out")
        # A recipe alone is what a process leaves that is killed before the folder becomes a run.
        ours = (self.recipe.name, _LOCK_NAME)
        files = self.path.iterdir() if self.path.is_dir() else ()
        names = sorted(file.name for file in files if not is_leftover(file) and file.name not in ours)
        if names:
            raise RunError(
                f"{self.path} is not empty and not a run (it holds {_name_some(names)}): "
                "choose another --out, or empty it"
            )

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def baselines(self) -> Path:
        """What networks without a decision reached on the test data."""
        return self.path / "baselines.json"

    def stage(self, name: str) -> Path:
        """Returns the folder of a training stage, with its checkpoints ``last.ckpt`` and ``best.ckpt``."""
        return self.path / "stages" / name

    @property
    def weights(self) -> Path:
        """The finished network, see `modicum.storage.weights`."""
        return self.path / WEIGHTS_NAME

    @property
    def metrics(self) -> Path:
        """What was measured during training, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def figures(self) -> Path:
        """``figures.json``: what the last evaluation measured, for tasks that are not told by a curve."""
        return self.path / "figures.json"

    @property
    def curve(self) -> Path:
        """Accuracy against cost."""
        return self.path / "curve.json"

    @property
    def calibration(self) -> Path:
        """The knob for a budget, and the data that chose it."""
        return self.path / "calibration.json"

    @property
    def splits(self) -> Path:
        """Which samples are for training, calibration and test."""
        return self.path / "splits.json"

    @property
    def content(self) -> Path:
        """Digests of the samples, see `modicum.datasets.contents`."""
        return self.path / "content.json"

    @property
    def state(self) -> Path:
        """The file of `RunState`; it makes the folder a run."""
        return self.path / STATE_NAME

    @property
    def report(self) -> Path:
        """The self-contained report."""
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"


def digest_recipe(content: bytes) -> str:
    """Returns the SHA-256 of the text of a recipe; line ends do not matter."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _suggest_runs(path: Path) -> str:
    """Suggests what to do instead, with the newest runs in or beside a folder that is not a run."""
    for folder, place in ((path, "in it"), (path.resolve().parent, "beside it")):
        states = sorted(folder.glob(f"*/{STATE_NAME}"), key=lambda state: state.stat().st_mtime, reverse=True)
        if states:
            return f"runs {place}, newest first: {_name_some([state.parent.name for state in states])}"
    return "begin one with modicum train SYSTEM --out FOLDER"


def _name_some(names: list[str], separator: str = ", ") -> str:
    rest = f"{separator}and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return separator.join(names[:_MAX_NAMED]) + rest
