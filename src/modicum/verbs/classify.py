"""The verbs for image classifiers; see `modicum.verbs`. Importing this module is instant."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.storage import RunError, RunFolder
from modicum.storage.sealing import write_sealed
from modicum.systems import get_system, locate
from modicum.verbs.destinations import claim_file, gather_files, in_order
from modicum.verbs.runs import load, load_for_inference, open_run
from modicum.verbs.sheets import claim_report

if TYPE_CHECKING:
    from modicum.adaptive.calibration import Calibration
    from modicum.classify.comparison import Comparison
    from modicum.classify.predictor import Prediction, Predictor
    from modicum.classify.results import Evaluation
    from modicum.classify.survey import Survey
    from modicum.imaging.files import Failure

log = logging.getLogger(__name__)


def predictor(run: str | Path, *, knob: float | None = None) -> "Predictor":
    """What classifies images with the network of a run, at its calibrated knob unless another is given."""
    from modicum.adaptive.knobs import check_knob
    from modicum.classify.evaluation import read_calibration, read_classes, read_preprocessing
    from modicum.classify.predictor import Predictor
    from modicum.classify.preparation import preprocessing_of

    if knob is not None:  # refused before the weights are loaded
        check_knob(knob)
    folder, recipe = open_run(run)
    calibration = read_calibration(folder)
    return Predictor(
        load_for_inference(folder, recipe),
        preprocessing=read_preprocessing(folder.weights) or preprocessing_of(recipe.images, recipe.image_px),
        classes=read_classes(folder.weights),
        knob=knob if knob is not None else (calibration.knob if calibration else 0.0),
    )


def figures(run: str | Path) -> "Evaluation":
    """What the last evaluation of a run measured, read from its folder."""
    from modicum.classify.records import read_evaluation

    return read_evaluation(RunFolder.open(run).curve)


def evaluate(run: str | Path, *, knob: float | None = None, clock: bool = True) -> "Evaluation":
    """Measures a run on its test images: curve, baselines, and the clock; keeps the curve in the run folder.

    Args:
        run: The run folder.
        knob: Look at this knob instead of the calibrated one.
        clock: Also time the routed against the plain network.
    """
    from modicum.adaptive.knobs import check_knob
    from modicum.classify.evaluation import evaluate_run
    from modicum.classify.records import evaluation_to_json

    if knob is not None:  # refused before the weights are loaded
        check_knob(knob)
    folder, recipe = open_run(run)
    system = get_system(folder.read_state().system)
    model = load_for_inference(folder, recipe)
    result = evaluate_run(
        folder,
        model,
        recipe,
        system=system.id,
        knob=knob,
        batch_sizes=(1, 32) if clock else (),
        describe=locate(system.details) if system.details else None,
    )
    if knob is None and clock:  # a look at something else does not replace the run's own figures
        write_sealed(folder.curve, evaluation_to_json(result))
    return result


def calibrate(
    run: str | Path, *, budget: float | None = None, budget_ms: float | None = None, batch_size: int = 1
) -> "Calibration":
    """Chooses the knob for a budget on the run's calibration images, and keeps it for prediction and export.

    Args:
        run: The run folder.
        budget: Mean multiply-adds per image as a share of the plain network's, the decision included.
        budget_ms: Instead: mean milliseconds per image on this machine.
        batch_size: Images per call, for ``budget_ms``.

    Raises:
        BudgetError: If the budget is no share in (0, 1] or no time, or even the cheapest routes exceed it.
        ValueError: If not exactly one budget is given.
    """
    import torch

    from modicum.adaptive.calibration import relative_budget
    from modicum.adaptive.contract import device_of
    from modicum.adaptive.efficiency import measure_route_times
    from modicum.adaptive.knobs import check_milliseconds, check_share
    from modicum.classify.evaluation import calibrate_run, open_data
    from modicum.classify.preparation import EVALUATION_BATCH

    if (budget is None) == (budget_ms is None):
        raise ValueError("give either budget, a share of the plain network's multiply-adds, or budget_ms")
    if budget is not None:  # refused before the weights are loaded
        check_share(budget)
    else:
        check_milliseconds(budget_ms)
    folder, recipe = open_run(run)
    model = load_for_inference(folder, recipe)
    data = open_data(recipe, folder)
    if budget is not None:
        return calibrate_run(folder, model, data, model.costs, relative_budget(budget, model.costs))
    batches = data.evaluate_on("calibration", device_of(model))
    images = torch.cat([images for images, _ in itertools.islice(batches, -(-batch_size // EVALUATION_BATCH))])
    assert budget_ms is not None  # one of the two is given
    return calibrate_run(folder, model, data, measure_route_times(model, images, batch_size), budget_ms)


def predict(
    run: str | Path, inputs: Sequence[str | Path], *, knob: float | None = None, batch_size: int = 32
) -> Iterator["Prediction | Failure"]:
    """Classifies image files with a run; one that cannot be read costs only itself.

    Args:
        run: The run folder.
        inputs: Image files, folders of images, or patterns.
        knob: Instead of the calibrated one; higher is cheaper.
        batch_size: Images per call.
    """
    from modicum.imaging.files import expand_inputs

    found, _ = gather_files(inputs, expand_inputs)
    files = (file for file in found if isinstance(file, Path))
    return in_order(found, predictor(run, knob=knob).predict_all(files, batch_size=batch_size))


def report(run: str | Path, *, force: bool = False) -> "Evaluation":
    """Evaluates a run and writes its ``report.html``, and the curve by itself as ``curve.png``.

    Args:
        run: The run folder.
        force: Overwrite report and curve that were changed since.
    """
    from modicum.classify.report import write_report
    from modicum.reporting.plots import draw_curve, write_figure

    folder, recipe = open_run(run)
    claim_report(run, names=(folder.report.name, "curve.png"), force=force)
    evaluation = evaluate(run)
    start = folder.read_state().starts[0]
    write_report(
        folder.path,
        evaluation,
        facts=recipe.facts(),
        recipe_text=folder.recipe.read_text(encoding="utf-8"),
        command=start.command,
        versions=start.versions,
        metrics_rows=folder.read_metrics(),
        path=folder.report,
    )
    curve = draw_curve(evaluation.curve, calibrated=evaluation.calibrated, plain_cost=evaluation.calibration.plain)
    write_figure(folder.path / "curve.png", curve)
    return evaluation


def compare(
    runs: Sequence[str | Path], *, out: str | Path = "comparison.svg", clock: bool = False, force: bool = False
) -> "Comparison":
    """Draws the accuracy-cost curves of several runs in one picture, in multiply-adds and in milliseconds.

    Runs of a static family are drawn as the static frontier; one that was tested on other images than every adaptive
    run is left out, and the picture says so. Milliseconds are left out if a run was never timed.

    Args:
        runs: Run folders that have been evaluated.
        out: The picture, ``.svg`` or ``.png``.
        clock: Time all runs anew, in turn, on this machine: milliseconds of runs that were timed apart hardly compare.
        force: Overwrite a picture that modicum did not write, or that was changed since.

    Raises:
        RunError: If a run has not been evaluated.
        OutputError: If a file stands at ``out`` that must not be overwritten.
    """
    from modicum.classify.comparison import Compared, Comparison
    from modicum.classify.records import read_evaluation
    from modicum.reporting.plots import check_figure_name, write_comparison

    check_figure_name(out)
    claim_file(out, force=force)
    folders = [RunFolder.open(run) for run in runs]
    for folder in folders:
        if not folder.curve.exists():
            raise RunError(f"{folder.path} has no {folder.curve.name} yet: modicum evaluate {folder.path}")
    names = [folder.path.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder.path) for folder in folders]
    evaluations = [read_evaluation(folder.curve) for folder in folders]
    if clock:
        evaluations = _time_in_turn(folders, evaluations)
    compared = [
        Compared(name, evaluation, get_system(evaluation.system).is_static)
        for name, evaluation in zip(names, evaluations, strict=True)
    ]
    comparison = Comparison(tuple(compared), in_turn=clock)
    for folder, run in zip(folders, compared, strict=True):
        if run.name in comparison.untimed:
            log.info(
                "%s has no measured times, so milliseconds are left out: modicum evaluate %s", run.name, folder.path
            )
    write_comparison(Path(out), comparison.entries(), note=comparison.plot_note())
    return comparison


def _time_in_turn(folders: Sequence[RunFolder], evaluations: "Sequence[Evaluation]") -> "list[Evaluation]":
    """The evaluations of runs with milliseconds that were measured in turn, on the accelerator if there is one."""
    from modicum.classify.evaluation import judge, open_data, timed_images
    from modicum.classify.retiming import Subject, retime
    from modicum.training.devices import inference_device

    subjects = []
    for folder, evaluation in zip(folders, evaluations, strict=True):
        _, recipe = open_run(folder.path)
        model: Any = load(folder.path).to(inference_device("auto"))
        data = open_data(recipe, folder)
        subjects.append(Subject(evaluation, model, timed_images(model, data), judge(model, data, "test")))
    return retime(subjects)


def export(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes a run as ONNX graphs with a manifest, checked against PyTorch; returns the folder.

    Args:
        run: The run folder.
        out: The folder to write; None means RUN/export.

    Raises:
        RunError: If the run's system has no deployable form.
    """
    from dataclasses import asdict

    folder, _ = open_run(run)
    system = get_system(folder.read_state().system)
    if system.export is None:
        raise RunError(f"{folder.path} cannot be exported: {system.id} has no deployable form yet; use modicum.load")
    tool = predictor(run)
    from modicum.classify.evaluation import read_calibration

    calibration = read_calibration(folder)
    exported: Path = locate(system.export)(
        tool.network,
        Path(out) if out else folder.path / "export",
        preprocessing=asdict(tool.preprocessing),
        classes=tool.classes,
        knob=tool.knob,
        calibration=asdict(calibration) if calibration else None,
    )
    return exported


def data(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Survey":
    """Checks an image set: its classes, its unreadable images and copies, and how it would be split.

    Args:
        source: The images, as for training; "digits-scenes" is the embedded default.
        strict: Fail if an image cannot be read.
        preview: Write a sheet of example images here.
    """
    from modicum.classify.survey import survey

    return survey(source, strict=strict, preview=preview)
