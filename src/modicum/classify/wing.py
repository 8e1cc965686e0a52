"""Defines the wing of image classification; see `modicum.contract`. Importing this module is instant."""

import itertools
import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modicum.adaptive.knobs import check_knob, check_milliseconds, check_share
from modicum.contract import Examples, Run, Wing
from modicum.destinations import gather_files, in_order, place_outputs
from modicum.prediction import Failure, Notice
from modicum.storage.errors import RunError
from modicum.storage.sealing import write_sealed

if TYPE_CHECKING:
    from torch import Tensor

    from modicum.classify.comparison import Comparison
    from modicum.classify.evidence import AdaptiveClassifier
    from modicum.classify.predictor import Prediction, Predictor
    from modicum.classify.preparation import PreparedData
    from modicum.classify.recipe import ClassifierRecipe
    from modicum.classify.results import CalibrationReport, Evaluation
    from modicum.classify.survey import Survey

log = logging.getLogger(__name__)


class TrainedClassifier:
    """A run that classifies images, and decides for each how much to compute.

    Args:
        run: Where it is.
    """

    def __init__(self, run: "Run[ClassifierRecipe, Any]") -> None:
        self.run = run

    def predictor(self, *, knob: float | None = None) -> "Predictor":
        """Returns what classifies images, at the calibrated knob unless another is given.

        Args:
            knob: Instead of the calibrated one; higher is cheaper.
        """
        from modicum.classify.notes import preprocessing_of, read_calibration, read_classes, read_preprocessing
        from modicum.classify.predictor import Predictor

        if knob is not None:  # refused before the weights are loaded
            check_knob(knob)
        folder, recipe = self.run.folder, self.run.recipe
        calibration = read_calibration(folder)
        return Predictor(
            self._network(),
            preprocessing=read_preprocessing(folder.weights) or preprocessing_of(recipe.images, recipe.image_px),
            classes=read_classes(folder.weights),
            knob=knob if knob is not None else (calibration.knob if calibration else 0.0),
            calibration=calibration,
        )

    def figures(self) -> "Evaluation":
        """Returns what the last evaluation measured, read from the folder."""
        from modicum.classify.results import read_evaluation

        return read_evaluation(self.run.folder.curve)

    def evaluate(self, *, knob: float | None = None, clock: bool = True) -> "Evaluation":
        """Measures the run on its test images: curve, baselines, and the clock; keeps the curve in the folder.

        Args:
            knob: Look at this knob instead of the calibrated one.
            clock: Also time the routed against the plain network.
        """
        from modicum.classify.evaluation import RivalParts, evaluate_run

        if knob is not None:  # refused before the weights are loaded
            check_knob(knob)
        folder, system, network = self.run.folder, self.run.system, self._network()
        self._certify_first(network)
        result = evaluate_run(
            folder,
            network,
            self.run.recipe,
            system=system.id,
            knob=knob,
            batch_sizes=(1, 32) if clock else (),
            describe=system.details() if system.details else None,
            rivals=RivalParts.of(system),
        )
        if knob is None and clock:  # a look at something else does not replace the run's own figures
            write_sealed(folder.curve, result.to_json())
        return result

    def calibrate(
        self,
        *,
        budget: float | None = None,
        budget_ms: float | None = None,
        batch_size: int = 1,
        max_loss: float | None = None,
        confidence: float = 0.95,
        without_labels: str | Path | None = None,
        reference: Literal["plain", "whole"] = "plain",
    ) -> "CalibrationReport":
        """Chooses the knob for a budget or a guarantee, and keeps it for prediction and export.

        Args:
            budget: Mean multiply-adds per image as a share of the plain network's, the decision included.
            budget_ms: Instead: mean milliseconds per image on this machine.
            batch_size: Images per call, for ``budget_ms``.
            max_loss: Instead: the cheapest knob at which at most this share of images is classified wrongly that the
                plain network classifies correctly, such as 0.005.
            confidence: Probability with which ``max_loss`` holds for images like those it was tested on.
            without_labels: A folder of pictures without classes to test ``max_loss`` on, instead of the run's
                calibration images; it then limits the share whose class differs from the plain network's.
            reference: Network that ``max_loss`` compares with: "plain", the plain one, or "whole", the most expensive
                route of the routed one, which differs where it averages several members.

        Raises:
            BudgetError: If the budget is no share in (0, 1] or no time, or even the cheapest routes exceed it.
            GuaranteeError: If no knob keeps the loss; the message says how many images would be needed.
            ValueError: If not exactly one of budget, budget_ms and max_loss is given.
        """
        from modicum.adaptive.calibration import relative_budget
        from modicum.adaptive.efficiency import measure_route_times
        from modicum.adaptive.guarantee import Terms
        from modicum.classify.certifying import certify_run
        from modicum.classify.evaluation import calibrate_run, open_data
        from modicum.classify.results import CalibrationReport

        if sum(asked is not None for asked in (budget, budget_ms, max_loss)) != 1:
            raise ValueError(
                "give one of budget (a share of the plain network's multiply-adds), budget_ms and max_loss"
            )
        if max_loss is not None:
            terms = Terms(max_loss, confidence)  # refused before the weights are loaded
            made = certify_run(self.run, self._network(), terms, reference=reference, without_labels=without_labels)
            return CalibrationReport(made)
        if without_labels is not None:
            raise ValueError("without_labels names pictures to test a loss on: give max_loss instead of a budget")
        if budget is not None:  # refused before the weights are loaded
            check_share(budget)
        else:
            check_milliseconds(budget_ms)
        folder, model = self.run.folder, self._network()
        data = open_data(self.run.recipe, folder)
        if budget is not None:
            target, costs = relative_budget(budget, model.costs), model.costs
        else:
            assert budget_ms is not None  # one of the two is given
            images, plain = _some_images(data, model, batch_size), model.plain_network().eval()
            target, costs = budget_ms, measure_route_times(model, plain, images, batch_size)
        return CalibrationReport(calibrate_run(folder, model, data, costs, target))

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        knob: float | None = None,
        batch_size: int = 32,
        explain: str | Path | None = None,
        force: bool = False,
    ) -> "Iterator[Prediction | Failure]":
        """Classifies image files; unreadable files are reported and skipped.

        Args:
            inputs: Image files, folders of images, or patterns.
            knob: Instead of the calibrated one; higher is cheaper.
            batch_size: Images per call.
            explain: A folder to draw into, for each picture, what each step saw of it and how sure it was.
            force: Overwrite drawings that modicum did not write, or that were changed since.

        Returns:
            An iterator over the answers; as a generator, it returns a `modicum.prediction.Notice` where the routes of
            these images differ from the calibrated ones by more than chance.
        """
        from modicum.imaging.files import expand_inputs

        found, used = gather_files(inputs, expand_inputs)
        files = [file for file in found if isinstance(file, Path)]
        predictor = self.predictor(knob=knob)
        answers = predictor.predict_all(files, batch_size=batch_size)
        if explain is not None:
            from modicum.classify.explaining import explain_all, files_of

            places = place_outputs(used, files, explain, lambda place, _: files_of(place).values(), force=force)
            answers = explain_all(answers, files, places, predictor)
        return _with_drift(in_order(found, answers), predictor)

    def report(self, *, force: bool = False) -> "Evaluation":
        """Evaluates the run and writes its ``report.html``, and the curve by itself as ``curve.png``.

        Args:
            force: Overwrite report and curve that were changed since.
        """
        from modicum.classify.report import evaluation_report
        from modicum.reporting.plots import draw_curve, write_figure
        from modicum.reporting.runs import publish

        folder = self.run.folder
        self.run.claim(folder.report.name, "curve.png", force=force)
        evaluation = self.evaluate()
        publish(self.run, evaluation_report(evaluation))
        curve = draw_curve(evaluation.curve, calibrated=evaluation.calibrated, plain_cost=evaluation.calibration.plain)
        write_figure(folder.path / "curve.png", curve)
        return evaluation

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the network as ONNX graphs with a manifest, checked against PyTorch; returns the folder.

        Args:
            out: The folder to write; None means RUN/export.

        Raises:
            RunError: If the run's system has no deployable form.
        """
        from modicum.classify.calibration_json import calibration_to_json
        from modicum.classify.notes import read_calibration
        from modicum.exporting.writing import Stated

        folder, export = self.run.folder, self.run.system.export
        if export is None:
            told = f"{self.run.system.id} has no deployable form yet; use modicum.load"
            raise RunError(f"{folder.path} cannot be exported: {told}")
        tool = self.predictor()
        calibration = read_calibration(folder)
        noted = calibration_to_json(calibration) if calibration else None
        stated = Stated(asdict(tool.preprocessing), tool.classes, tool.knob, noted)
        return export()(tool.network, out or folder.path / "export", stated)

    def _certify_first(self, network: "AdaptiveClassifier") -> None:
        """Chooses the knob of a run that has none yet, where its recipe asks for a limit of the loss."""
        from modicum.adaptive.guarantee import GuaranteeError, Terms
        from modicum.classify.certifying import certify_run
        from modicum.classify.notes import read_calibration

        system, recipe = self.run.system, self.run.recipe
        terms = system.first_terms(recipe) if system.first_terms else None
        if terms is None or read_calibration(self.run.folder) is not None:
            return
        try:
            certify_run(self.run, network, Terms(*terms))
        except GuaranteeError as error:
            log.warning("%s; the knob is chosen for the budget %g instead", error, recipe.budget)

    def _network(self) -> "AdaptiveClassifier":
        return _open_network(self.run, self.run.recipe.trainer.accelerator)


def compare(
    runs: Sequence[Run[Any, Any]], *, out: str | Path = "comparison.svg", clock: bool = False, force: bool = False
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
    from modicum.classify.comparing import compare_runs

    return compare_runs(
        runs, Path(out), open_network=partial(_open_network, accelerator="auto") if clock else None, force=force
    )


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Survey":
    """Checks an image set: its classes, its unreadable images and copies, and how it would be split.

    Args:
        source: The images, as for training; "caltech-20" and "digits-scenes" are embedded.
        strict: Fail if an image cannot be read.
        preview: Write a sheet of example images here.
    """
    from modicum.classify import survey as surveying

    return surveying.survey(source, strict=strict, preview=preview)


def examples(folder: Path) -> Examples:
    """Returns an image, a file that is none, and another image."""
    from modicum.imaging.pictures import example_pictures

    return Examples(*example_pictures(folder))


def _with_drift(
    answers: "Iterator[Prediction | Failure]", predictor: "Predictor"
) -> "Generator[Prediction | Failure, None, Notice | None]":
    """Yields the answers; returns a notice where their routes are not those that the knob was calibrated on."""
    from modicum.classify.drift_notice import DriftNotice

    yield from answers
    drift, calibration = predictor.drift(), predictor.calibration
    if drift is None or calibration is None or not drift.is_beyond_chance:
        return None
    return DriftNotice(drift, calibration.guarantee.statement if calibration.guarantee else None)


def _open_network(run: Run[Any, Any], accelerator: str) -> "AdaptiveClassifier":
    """Returns the network of a run as it predicts and is timed, on the device that an accelerator's name stands for."""
    from modicum.training.devices import inference_device

    network, prepared = run.network(), run.system.prepared
    model: AdaptiveClassifier = (prepared()(network) if prepared else network).to(inference_device(accelerator))
    return model


def _some_images(data: "PreparedData", model: "AdaptiveClassifier", count: int) -> "Tensor":
    """Returns at least ``count`` calibration images, or all if there are fewer."""
    import torch

    from modicum.adaptive.contract import device_of
    from modicum.classify.preparation import EVALUATION_BATCH

    batches = data.evaluate_on("calibration", device_of(model))
    return torch.cat([images for images, _ in itertools.islice(batches, -(-count // EVALUATION_BATCH))])


CLASSIFY = Wing("classify", TrainedClassifier, compare, survey, examples)
