"""Defines the wing of image restoration; see `modicum.contract`. Importing this module is instant."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import Examples, Wing
from modicum.destinations import gather_files, in_order, names_a_file, place_outputs, write_answer
from modicum.prediction import Failure
from modicum.reporting.runs import ReportedRun, compare_runs, publish
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.errors import DataError, RecipeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from modicum.nn.tiling import Progress
    from modicum.reporting.report import Report
    from modicum.restore.inference import Inference
    from modicum.restore.predictor import Predictor, Restored
    from modicum.restore.rnan.network import RNAN


class TrainedRestorer(ReportedRun[RNANRecipe, "RNAN"]):
    """A run that restores photographs."""

    def predictor(self, *, ensemble: bool = False, memory_gib: float = 2.0, tile: int | None = None) -> "Predictor":
        """Returns what restores photographs.

        Args:
            ensemble: Average over the eight symmetries of a square, for eight times the time.
            memory_gib: Bound on the memory beyond the photograph and its result; tiles become smaller where they must.
            tile: Side of the tiles in pixels; None is what the run was evaluated with.

        Raises:
            RecipeError: If an ensemble is asked of a demosaicer.
        """
        from modicum.restore.predictor import Predictor

        task = self.run.recipe.task
        if ensemble and not task.has_symmetries:
            raise RecipeError("--ensemble turns and flips what the network sees, which a Bayer mosaic does not stand")
        return Predictor(self._inference(ensemble, memory_gib, tile), task)

    def evaluate(self, *, classics: bool | None = None, ensemble: bool = True) -> "Report":
        """Measures the run on its test images beside the baselines; keeps the figures in the folder.

        Args:
            classics: Also measure methods that need no training; None does as the recipe's ``baselines`` says.
            ensemble: Also measure the mean over the eight symmetries of a square.
        """
        from modicum.reporting.records import keep_report
        from modicum.restore.evaluation import evaluate_run
        from modicum.restore.report import evaluation_report

        folder, recipe = self.run.folder, self.run.recipe
        is_whole = classics is None and ensemble  # a look at less does not replace the run's own figures
        report = evaluation_report(
            evaluate_run(
                folder,
                self._inference(),
                recipe,
                system=self.run.system.id,
                classics=recipe.baselines if classics is None else classics,
                ensemble=ensemble,
            )
        )
        if is_whole:
            keep_report(folder, report)
        return report

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        out: str | Path = "restored",
        comparison: bool = False,
        ensemble: bool = False,
        memory_gib: float = 2.0,
        tile: int | None = None,
        force: bool = False,
    ) -> "Iterator[Restored | Failure]":
        """Restores image files, all their pages; depth, alpha, EXIF, XMP, resolution and colour profile survive.

        Args:
            inputs: Image files, folders of images, or patterns.
            out: The file to write, such as out.png, for one input; else a folder for PNG files (TIFF or WebP for
                pages), where files of folders keep their sub-folders.
            comparison: Also write NAME_comparison.png, before and after side by side.
            ensemble: Average over the eight symmetries of a square, for eight times the time.
            memory_gib: Bound on the memory beyond the photograph and its result; tiles become smaller where they must.
            tile: Side of the tiles in pixels; None is what the run was evaluated with.
            force: Overwrite files that modicum did not write, or that were changed since.

        Raises:
            RecipeError: If ``out`` is one file for several inputs, or of a format that cannot be written, or two inputs
                would be written under the same name.
            OutputError: If a file stands where one would be written that must not be overwritten.
        """
        from modicum.imaging.files import expand_inputs
        from modicum.restore.photo_files import WRITABLE, check_writable, output_suffix

        def names(place: Path, file: Path) -> list[Path]:
            target = place if names_a_file(out) else place.with_suffix(output_suffix(file))
            return [target, _beside(target)] if comparison else [target]

        found, inputs = gather_files(inputs, expand_inputs)
        files = [file for file in found if isinstance(file, Path)]
        places = place_outputs(inputs, files, out, names, writable=WRITABLE, force=force)
        tool = self.predictor(ensemble=ensemble, memory_gib=memory_gib, tile=tile)

        def answer(file: Path, place: Path) -> "Restored | Failure":
            target = names(place, file)[0]
            accept = partial(check_writable, path=target, scale=tool.task.scale)
            with _progress(file.name) as progress:
                restored = next(tool.predict_all([file], progress, accept=accept))
            written = write_answer(restored, target)
            return _with_comparison(written) if comparison else written

        yield from in_order(found, map(answer, files, places))

    def report(self, *, classics: bool | None = None, ensemble: bool = True, force: bool = False) -> "Report":
        """Evaluates the run and writes its ``report.html``.

        Args:
            classics: Also measure methods that need no training; None does as the recipe's ``baselines`` says.
            ensemble: Also measure the mean over the eight symmetries of a square.
            force: Overwrite a report that was changed since.
        """
        self.run.claim("report.html", force=force)
        return publish(self.run, self.evaluate(classics=classics, ensemble=ensemble))

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the network as an ONNX graph of one tile with a manifest, checked against PyTorch."""
        recipe, export = self.run.recipe, self.run.system.export
        assert export is not None  # the caller has looked
        place = out or self.run.folder.path / "export"
        return export()(self._network(), place, task=recipe.task, tile=recipe.tile, halo=recipe.halo)

    def _inference(self, ensemble: bool = False, memory_gib: float = 2.0, tile: int | None = None) -> "Inference":
        from modicum.restore.inference import make_inference

        recipe = self.run.recipe
        return make_inference(
            self._network(),
            tile=recipe.tile if tile is None else tile,
            halo=recipe.halo,
            memory_gib=memory_gib,
            is_ensemble=ensemble,
        )

    def _network(self) -> "RNAN":
        from modicum.training.devices import inference_device

        return self.run.network().to(inference_device(self.run.recipe.trainer.accelerator))


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Report":
    """Checks a set of clean images: what can be read, copies, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if an image cannot be read.
        preview: Write a sheet of example images here.
    """
    from modicum.restore import survey as surveying

    return surveying.survey(source, strict=strict, preview=preview)


def examples(folder: Path) -> Examples:
    """Returns a photograph, a file that is none, and another photograph."""
    from modicum.imaging.pictures import example_pictures

    return Examples(*example_pictures(folder))


@contextmanager
def _progress(name: str) -> "Iterator[Progress | None]":
    """Shows a bar on standard error while a photograph is restored, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _with_comparison(restored: "Restored | Failure") -> "Restored | Failure":
    """Writes a comparison beside the restored file; returns the photograph with it, or a failure."""
    from modicum.storage.outputs import write_output

    if isinstance(restored, Failure):
        return restored
    beside = _beside(restored.files["restored"])
    try:
        write_output(beside, _png(restored.comparison()))
    except DataError as error:
        return Failure(restored.name, str(error), "not written")
    return replace(restored, files={**restored.files, "comparison": beside})


def _beside(target: Path) -> Path:
    """Returns where the comparison of a restored file goes."""
    return target.with_name(f"{target.stem}_comparison.png")


def _png(picture: "Image") -> bytes:
    import io

    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


RESTORE = Wing("restore", TrainedRestorer, compare_runs, survey, examples)
