"""Defines the wing of object detection; see `modicum.contract`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.adaptive.knobs import check_knob, check_milliseconds, check_share
from modicum.contract import Examples, Run, Wing
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.prediction import Failure
from modicum.storage.errors import RunError
from modicum.storage.sealing import write_sealed

if TYPE_CHECKING:
    from modicum.detect.zoom.answers import Zoomed
    from modicum.detect.zoom.inference import ZoomDetector
    from modicum.detect.zoom.limits import ZoomLimit
    from modicum.detect.zoom.network import ZoomNetwork
    from modicum.detect.zoom.predictor import Predictor
    from modicum.detect.zoom.results import CalibrationReport, Evaluation
    from modicum.reporting.report import Report


class TrainedZoom:
    """A run that detects objects, and decides for each picture where to look closely.

    Args:
        run: Where it is.
    """

    def __init__(self, run: "Run[ZoomRecipe, ZoomNetwork]") -> None:
        self.run = run

    def predictor(
        self, *, price: float | None = None, limit: "ZoomLimit | None" = None, min_score: float = 0.3
    ) -> "Predictor":
        """Returns what finds the objects of pictures, at the calibrated price unless something else is given.

        Args:
            price: Instead of the calibrated one: windows are read that promise at least so much, in objects per
                picture of pixels.
            limit: Instead of a price: how far to zoom in.
            min_score: Detections below are left out.

        Raises:
            ValueError: If both are given.
        """
        from modicum.detect.zoom.answers import Reporting, number_categories
        from modicum.detect.zoom.limits import ZoomLimit
        from modicum.detect.zoom.notes import read_price
        from modicum.detect.zoom.predictor import Predictor

        if price is not None and limit is not None:
            raise ValueError("give a price or a limit, not both")
        if price is not None:  # refused before the weights are loaded
            limit = ZoomLimit(price=check_knob(price))
        calibration = read_price(self.run.folder)
        # Without a calibration, as after a kill before the first evaluation, whole pictures are read.
        limit = limit or ZoomLimit(price=calibration.knob if calibration else 0.0)
        classes = self.network.classes
        return Predictor(self.zoom, limit, reporting=Reporting(classes, number_categories(classes), min_score))

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        price: float | None = None,
        max_pixels: float | None = None,
        max_ms: float | None = None,
        max_windows: int | None = None,
        min_score: float = 0.3,
        out: str | Path = "detections",
        results: str | Path | None = None,
        batch_size: int = 4,
        force: bool = False,
    ) -> "Iterator[Zoomed | Failure]":
        """Finds objects in image files; writes a drawing and the detections of each.

        Args:
            inputs: Image files, folders of images, or patterns.
            price: Instead of the calibrated one: read windows that promise at least so much, in objects per picture of
                pixels.
            max_pixels: Or read at most so many pixels, a share of the picture's if at most 1, the reduced picture
                included.
            max_ms: Or take at most so many milliseconds a picture, decoding excluded; measured on the first picture.
            max_windows: Or read at most so many windows.
            min_score: Detections below are left out.
            out: The folder for drawings and detections; files of folders keep their sub-folders.
            results: Also write the detections of all pictures into this file, in COCO's result format.
            batch_size: Pictures that are looked at together.
            force: Overwrite files that modicum did not write, or that were changed since.

        Raises:
            RecipeError: If two inputs would be written under the same name.
            BudgetError: If several limits are given.
            OutputError: If a file stands where one would be written that must not be overwritten.
        """
        from modicum.detect.zoom.limits import ZoomLimit
        from modicum.detect.zoom.outputs import predict_files

        is_limited = any(each is not None for each in (price, max_pixels, max_ms, max_windows))
        limit = ZoomLimit(price, max_pixels, max_ms, max_windows) if is_limited else None
        predictor = self.predictor(limit=limit, min_score=min_score)
        yield from predict_files(predictor, inputs, out=out, results=results, batch_size=batch_size, force=force)

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the run as ONNX graphs with a manifest, checked against PyTorch; returns the folder.

        Args:
            out: The folder to write; None means RUN/export.

        Raises:
            RunError: If the run's system has no deployable form.
        """
        folder, export = self.run.folder, self.run.system.export
        if export is None:
            told = f"{self.run.system.id} has no deployable form yet; use modicum.load"
            raise RunError(f"{folder.path} cannot be exported: {told}")
        return export()(self, out or folder.path / "export")

    def figures(self) -> "Evaluation":
        """Returns what the last evaluation measured, read from the folder."""
        from modicum.detect.zoom.results import read_evaluation

        return read_evaluation(self.run.folder)

    def evaluate(self, *, price: float | None = None, clock: bool = True) -> "Evaluation":
        """Measures the run on its test pictures: curve, baselines, and the clock; keeps the figures in the folder.

        Args:
            price: Look at this price instead of the calibrated one.
            clock: Also time zooming against the fine detector.
        """
        from modicum.detect.zoom.evaluation import evaluate_run

        if price is not None:  # refused before the weights are loaded
            check_knob(price)
        result = evaluate_run(self.run, self.network, self.zoom, price=price, clock=clock)
        if price is None and clock:  # a look at something else does not replace the run's own figures
            write_sealed(self.run.folder.curve, result.to_json())
        return result

    def calibrate(
        self, *, budget: float | None = None, budget_ms: float | None = None, accuracy: float | None = None
    ) -> "CalibrationReport":
        """Chooses the price for a target on the calibration pictures, and keeps it for prediction and export.

        Args:
            budget: Mean pixels per picture as a share of its pixels, the coarse pass included.
            budget_ms: Instead: mean milliseconds per picture on this machine, decoding excluded.
            accuracy: Instead: the highest price at which this share of the fine detector's average precision stays,
                such as 0.99.

        Raises:
            BudgetError: If the target is out of range, or no price meets it.
            ValueError: If not exactly one target is given.
        """
        from modicum.detect.zoom.evaluation import calibrate_run
        from modicum.detect.zoom.results import CalibrationReport

        if sum(asked is not None for asked in (budget, budget_ms, accuracy)) != 1:
            raise ValueError("give one of budget (a share of the pixels), budget_ms and accuracy")
        if budget_ms is not None:  # refused before the weights are loaded
            check_milliseconds(budget_ms)
        else:
            check_share(budget if budget is not None else accuracy)
        targets = {"budget": budget, "budget_ms": budget_ms, "accuracy": accuracy}
        return CalibrationReport(calibrate_run(self.run, self.network, self.zoom, **targets))

    def report(self, *, force: bool = False) -> "Evaluation":
        """Evaluates the run and writes its ``report.html``.

        Args:
            force: Overwrite a report that was changed since.
        """
        from modicum.detect.zoom.report import evaluation_report
        from modicum.reporting.runs import publish

        self.run.claim(self.run.folder.report.name, force=force)
        evaluation = self.evaluate()
        publish(self.run, evaluation_report(evaluation))
        return evaluation

    @cached_property
    def network(self) -> "ZoomNetwork":
        """The trained network, its detectors on the device that the recipe's accelerator stands for."""
        from modicum.training.devices import inference_device

        network, device = self.run.network(), inference_device(self.run.recipe.trainer.accelerator)
        for detector in (network.coarse, network.fine):
            if detector is not None:
                detector.to(device)
        return network

    @cached_property
    def zoom(self) -> "ZoomDetector":
        """The detector that zooms in."""
        from modicum.detect.zoom.assembly import open_zoom

        return open_zoom(self.run.folder, self.run.recipe, self.network)


def compare(runs: Sequence[Run[Any, Any]]) -> "Report":
    """Compares the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.detect.zoom.report import evaluation_report
    from modicum.detect.zoom.results import read_evaluation
    from modicum.reporting.records import compare_reports

    return compare_reports({str(run.folder.path): evaluation_report(read_evaluation(run.folder)) for run in runs})


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Report":
    """Checks a set of pictures with boxes: unreadable files, faulty boxes, sizes, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if something cannot be read or used.
        preview: Write a sheet of examples with their boxes here.
    """
    from modicum.detect import survey as surveying

    return surveying.survey(source, strict=strict, preview=preview)


def examples(folder: Path) -> Examples:
    """Returns a picture, a file that is none, and another picture."""
    from modicum.imaging.pictures import example_pictures

    return Examples(*example_pictures(folder))


DETECT = Wing("detect", TrainedZoom, compare, survey, examples)
