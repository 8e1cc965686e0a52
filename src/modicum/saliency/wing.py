"""Defines the wing of salient object detection; see `modicum.contract`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import Examples, Wing
from modicum.destinations import gather_files, in_order, place_outputs, write_answer
from modicum.prediction import Failure
from modicum.reporting.runs import ReportedRun, compare_runs
from modicum.saliency.recipe import SaliencyRecipe

if TYPE_CHECKING:
    from modicum.reporting.report import Report
    from modicum.saliency.data.transforms import Preprocessing
    from modicum.saliency.network import SaliencyNet
    from modicum.saliency.predictor import Predictor, Salience


class TrainedSaliency(ReportedRun[SaliencyRecipe, "SaliencyNet"]):
    """A run that finds what stands out."""

    def predictor(self, *, guided: bool = True) -> "Predictor":
        """Returns what finds the salient objects of pictures.

        Args:
            guided: Draw the masks of large pictures to the pictures' edges.
        """
        from modicum.saliency.predictor import Predictor

        return Predictor(self._network(), self._preprocessing(), is_guided=guided)

    def evaluate(self) -> "Report":
        """Measures the run on its test images beside the baselines; keeps the figures in the folder."""
        from modicum.reporting.records import keep_report
        from modicum.saliency.evaluation import evaluate_run
        from modicum.saliency.report import evaluation_report

        report = evaluation_report(evaluate_run(self.run.folder, self._network(), self.run.recipe))
        keep_report(self.run.folder, report)
        return report

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        out: str | Path = "saliency",
        guided: bool = True,
        batch_size: int = 8,
        force: bool = False,
    ) -> "Iterator[Salience | Failure]":
        """Finds what is salient in image files; writes a mask, a cut-out and an overlay of each.

        Args:
            inputs: Image files, folders of images, or patterns.
            out: The folder for the pictures; files of folders keep their sub-folders.
            guided: Draw the masks of large pictures to the pictures' edges.
            batch_size: Pictures per call of the network.
            force: Overwrite files that modicum did not write, or that were changed since.

        Raises:
            RecipeError: If two inputs would be written under the same name.
            OutputError: If a file stands where one would be written that must not be overwritten.
        """
        from modicum.imaging.files import expand_inputs
        from modicum.saliency.predictor import files_of

        found, inputs = gather_files(inputs, expand_inputs)
        files = [file for file in found if isinstance(file, Path)]
        places = place_outputs(inputs, files, out, lambda place, _: files_of(place).values(), force=force)
        answers = zip(places, self.predictor(guided=guided).predict_all(files, batch_size=batch_size), strict=True)
        yield from in_order(found, (write_answer(answer, place.parent) for place, answer in answers))

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the folded network as an ONNX graph with a manifest, checked against PyTorch."""
        from modicum.saliency.export import export_saliency

        return export_saliency(self._network(), out or self.run.folder.path / "export", self._preprocessing())

    def _network(self) -> "SaliencyNet":
        from modicum.training.devices import inference_device

        return self.run.network().to(inference_device(self.run.recipe.trainer.accelerator))

    def _preprocessing(self) -> "Preprocessing":
        from modicum.saliency.preparation import preprocessing_of, read_preprocessing

        return read_preprocessing(self.run.folder.weights) or preprocessing_of(self.run.recipe)


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Report":
    """Checks a set of images with masks: pairs, unreadable files, sizes that differ, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if something cannot be read.
        preview: Write a sheet of examples with their masks here.
    """
    from modicum.saliency import survey as surveying

    return surveying.survey(source, strict=strict, preview=preview)


def examples(folder: Path) -> Examples:
    """Returns a picture, a file that is none, and another picture."""
    from modicum.imaging.pictures import example_pictures

    return Examples(*example_pictures(folder))


SALIENCY = Wing("saliency", TrainedSaliency, compare_runs, survey, examples)
