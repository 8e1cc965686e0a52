"""What a user can do with modicum, one function per verb; the command line is derived from them.

What a verb does with a run depends on the task of its system: the functions here open the run, as the wing's own object
(`modicum.contract.Trained`), whose signatures are the options. Importing this package is instant.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from modicum.contract import AnySystem, Measured, Report, Trained
from modicum.destinations import claim_file
from modicum.prediction import Failure, Prediction, Predictor
from modicum.storage import RecipeError, RunError
from modicum.storage.outputs import list_outputs
from modicum.systems import SYSTEMS, WINGS, get_system, network_builders, open_run, open_untrained, task_of
from modicum.verbs.training import is_first_process, train, train_recipe

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "adopt",
    "bench",
    "calibrate",
    "compare",
    "data",
    "evaluate",
    "export",
    "figures",
    "is_first_process",
    "list_systems",
    "load",
    "open_run",
    "open_untrained",
    "options_of",
    "predict",
    "predictor",
    "report",
    "train",
    "train_recipe",
]

OF_ALL = ("compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report")
"""The verbs that runs of every task have."""

OF_RUNS: Mapping[str, Callable[[Trained], Callable[..., object] | None]] = {
    "evaluate": lambda trained: trained.evaluate,
    "calibrate": lambda trained: trained.calibrate,
    "predict": lambda trained: trained.predict,
    "report": lambda trained: trained.report,
    "compare": lambda trained: WINGS[trained.run.system.wing].compare,
}
"""Verbs whose options are those of the run's task: where these stand."""


def options_of(verb: str, run: str | Path) -> Callable[..., object]:
    """Returns the function whose keyword arguments are the options of a verb of `OF_RUNS` for a run.

    For ``predict``, ``run`` may also be a system that answers without training.

    Raises:
        RunError: If the folder is missing or not a run, or its task has no such verb.
    """
    if verb == "predict" and (untrained := open_untrained(run)) is not None:
        return untrained.predict
    trained = open_run(run)
    return OF_RUNS[verb](trained) or _refuse(verb, trained)


def list_systems() -> list[AnySystem]:
    """Lists the systems that can be trained.

    Example:
        >>> [system.id for system in list_systems() if system.wing == "classify"]
        ['drnet', 'blockdrop', 'static', 'ranet', 'cascade', 'resolution-and-blocks']
    """
    return list(SYSTEMS.values())


def load(path: str | Path, **parts: object) -> "nn.Module":
    """Loads the network of a run folder or weights file, in evaluation mode on the CPU; executes nothing of the file.

    Args:
        path: A run folder, or a ``.safetensors`` file.
        **parts: What no file can hold, such as a backbone that was given as a module.

    Raises:
        WeightsError: If the file is missing, damaged, or does not fit its network.

    Example:
        >>> import modicum
        >>> network = modicum.load("runs/photos")
        >>> network.resolutions
        (32, 16)
    """
    from modicum.storage.weights import load_network

    network: nn.Module = load_network(path, network_builders(), **parts)
    return network


def predictor(run: str | Path, **options: object) -> Predictor:
    """Returns a predictor for single inputs of a run's task, such as images, photographs or questions.

    Args:
        run: The run folder; or the id of a system that answers without training, such as ``"zoom"``.
        **options: Those of the run's task, or of the system.

    Example:
        >>> import modicum
        >>> predictor = modicum.predictor("runs/photos")
        >>> answer = predictor("photos/sunny/0.png")  # prints in one line
        >>> answer.label in ("cloudy", "sunny")
        True
        >>> predictor("photos/sunny/0.png", knob=-1000.0).route  # this call only
        '32 px'
    """
    return (open_untrained(run) or open_run(run)).predictor(**options)


def figures(run: str | Path) -> Report:
    """Reads what the last evaluation of a run measured, from its folder.

    Example:
        >>> from modicum.verbs import figures
        >>> figures("runs/photos").classes
        ('cloudy', 'sunny')
    """
    return open_run(run).figures()


def evaluate(run: str | Path, **options: object) -> Report:
    """Measures a run on its test data beside its baselines; keeps the figures in the run folder.

    Args:
        run: The run folder.
        **options: Those of the run's task.

    Example:
        >>> import modicum
        >>> evaluation = modicum.evaluate("runs/photos", clock=False)
        >>> [point.name for point in evaluation.curve.static]
        ['always 32 px', 'always 16 px']
    """
    return open_run(run).evaluate(**options)


def calibrate(run: str | Path, **options: object) -> Report:
    """Chooses the knob for a budget, or a limit of what it may lose, and keeps it for prediction and export.

    Args:
        run: The run folder.
        **options: Those of the run's task.

    Example:
        >>> import modicum
        >>> calibration = modicum.calibrate("runs/photos", budget=0.8).calibration
        >>> calibration.achieved <= calibration.target == 0.8 * calibration.plain
        True
    """
    trained = open_run(run)
    return (trained.calibrate or _refuse("calibrate", trained))(**options)


def predict(run: str | Path, inputs: Sequence[str | Path] = (), **options: object) -> Iterator[Prediction | Failure]:
    """Runs the model of a run on files; unreadable files are reported and skipped.

    Args:
        run: The run folder; or the id of a system that answers without training: zoom.
        inputs: Files, folders of files, or patterns.
        **options: Those of the run's task.

    Example:
        >>> import modicum
        >>> answers = list(modicum.predict("runs/photos", ["photos/sunny"]))
        >>> len(answers)
        20
    """
    return (open_untrained(run) or open_run(run)).predict(inputs, **options)


def report(run: str | Path, **options: object) -> Report:
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
        **options: Those of the run's task.
    """
    return open_run(run).report(**options)


def compare(runs: Sequence[str | Path], **options: object) -> Report:
    """Compares the figures of several runs of one task side by side.

    Args:
        runs: Run folders that have been evaluated.
        **options: Those of the runs' task.

    Raises:
        RunError: If there is no run, or the runs are of different tasks.

    Example:
        >>> import modicum
        >>> comparison = modicum.compare(["runs/photos"], out="comparison.svg")
        >>> Path("comparison.svg").exists()
        True
    """
    opened = [open_run(run).run for run in runs]
    wings = {each.system.wing: run for each, run in zip(opened, runs, strict=True)}
    if len(wings) != 1:
        given = ", ".join(f"{run} ({wing})" for wing, run in wings.items()) or "none"
        raise RunError(f"compare needs runs of one task, got {given}")
    return WINGS[next(iter(wings))].compare(opened, **options)


def export(run: str | Path, *, out: str | Path | None = None, force: bool = False) -> Path:
    """Writes a run as ONNX graphs with a manifest, checked against PyTorch; returns the folder.

    Args:
        run: The run folder.
        out: The folder to write; None means RUN/export.
        force: Overwrite files of an export there that were changed since; a folder with others is refused.

    Raises:
        RunError: If the run's system has no deployable form.
        OutputError: If the folder holds what modicum did not write, or what was changed since.
    """
    trained = open_run(run)
    system = trained.run.system
    if system.export is None:
        raise RunError(f"{run} cannot be exported: {system.id} has no deployable form yet; use modicum.load")
    place = Path(out) if out else trained.run.folder.path / "export"
    if force and (place / "manifest.json").is_file():  # an export; other folders are refused whatever was passed
        list_outputs(place)
    return trained.export(out=out)


def bench(system: str, *, threads: int | None = None, quick: bool = False) -> Sequence[Measured]:
    """Measures speed and memory of a system, as ratios of things timed in turn in one run.

    Args:
        system: Id of the system.
        threads: CPU threads; None is what the system's targets are for: with one, and for most with two.
        quick: A small network in seconds, to see that it works; its figures mean nothing.

    Raises:
        RecipeError: If the system has no benchmark of its own.
    """
    measure = get_system(system).bench
    if measure is None:
        raise RecipeError(f"{system} has no benchmark of its own: the report of each run has its clock")
    return measure()(threads=threads, quick=quick)


def data(
    source: str,
    *,
    task: Literal["classify", "restore", "saliency", "reading", "graphs", "detect"] | None = None,
    strict: bool = False,
    preview: str | Path | None = None,
    vectors: str | Path | None = None,
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    force: bool = False,
) -> Report:
    """Checks a data set before anything is trained on it: what is in it, what cannot be read, how it would be split.

    Args:
        source: The data, as for training.
        task: What they are for; without it, tables are for graphs, files of questions for reading, all else for
            classify.
        strict: Fail if something cannot be read.
        preview: Write a sheet of examples here.
        vectors: For reading, a file of word vectors: how many of the words it has.
        separator: For graphs, between the cells of a CSV file; without it, what the file shows.
        decimal: For graphs, the decimal mark of a CSV file; likewise.
        encoding: For graphs, of a CSV file, such as cp1252; likewise.
        force: Overwrite a preview that modicum did not write, or that was changed since.

    Raises:
        RecipeError: If an option of one task is given for another.
        OutputError: If a file stands where the preview goes that must not be overwritten.
    """
    told = {"separator": separator, "decimal": decimal, "encoding": encoding}
    marks = {name: value for name, value in told.items() if value is not None}
    task = task or ("graphs" if marks else task_of(source))
    options = marks if vectors is None else {**marks, "vectors": vectors}
    survey = WINGS[task].survey
    for name in options:
        if name not in inspect.signature(survey).parameters:
            own = next(wing.id for wing in WINGS.values() if name in inspect.signature(wing.survey).parameters)
            raise RecipeError(f"--{name} is an option of --task {own} alone, not of {task}: leave it out")
    if preview is not None:
        claim_file(preview, inputs=[source], force=force)
    return survey(source, strict=strict, preview=preview, **options)


def adopt(run: str | Path) -> Path:
    """Adds digests to a run, or to a weights file, that an older modicum made.

    What has a digest is verified instead. Damage that came before cannot be seen, nor whether the data of the run have
    changed: they are not compared from then on, either.

    Args:
        run: The run folder, or a weights file.

    Returns:
        The run folder, or the file.

    Raises:
        RunError: If the folder is not a run, or another process trains in it.
        DataError: If a file of it cannot be read, or is not as it was written.
        WeightsError: The same of weights.
    """
    from modicum.verbs.adopting import adopt_run

    return adopt_run(run)


def _refuse(verb: str, trained: Trained) -> NoReturn:
    can = ", ".join(OF_ALL)
    raise RunError(f"{trained.run.system.id} has no {verb}; it has {can}")
