"""The verbs for salient objects; see `modicum.verbs`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.verbs.destinations import gather_files, in_order, place_outputs, write_answer
from modicum.verbs.runs import load_for_inference, open_run
from modicum.verbs.sheets import claim_report, compare, figures, write_report

__all__ = ["compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report"]

if TYPE_CHECKING:
    from modicum.imaging.files import Failure
    from modicum.reporting.report import Sheet
    from modicum.saliency.predictor import Predictor, Salience


def predictor(run: str | Path, *, guided: bool = True) -> "Predictor":
    """What finds the salient objects of pictures with the network of a run.

    Args:
        run: The run folder.
        guided: Draw the masks of large pictures to the pictures' edges.
    """
    from modicum.saliency.predictor import Predictor
    from modicum.saliency.preparation import preprocessing_of, read_preprocessing

    folder, recipe = open_run(run)
    preprocessing = read_preprocessing(folder.weights) or preprocessing_of(recipe)
    return Predictor(load_for_inference(folder, recipe), preprocessing, is_guided=guided)


def evaluate(run: str | Path) -> "Sheet":
    """Measures a run on its test images beside the baselines; keeps the figures in the run folder.

    Args:
        run: The run folder.
    """
    from modicum.reporting.report import keep_figures
    from modicum.saliency.evaluation import evaluate_run
    from modicum.saliency.report import saliency_sheet

    folder, recipe = open_run(run)
    sheet = saliency_sheet(evaluate_run(folder, load_for_inference(folder, recipe), recipe))
    keep_figures(folder, sheet)
    return sheet


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    *,
    out: str | Path = "saliency",
    guided: bool = True,
    batch_size: int = 8,
    force: bool = False,
) -> Iterator["Salience | Failure"]:
    """Finds what is salient in image files; writes a mask, a cut-out and an overlay of each.

    Args:
        run: The run folder.
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
    tool = predictor(run, guided=guided)
    answers = zip(places, tool.predict_all(files, batch_size=batch_size), strict=True)
    yield from in_order(found, (write_answer(answer, place.parent) for place, answer in answers))


def report(run: str | Path, *, force: bool = False) -> "Sheet":
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
        force: Overwrite a report that was changed since.
    """
    claim_report(run, force=force)
    return write_report(run, evaluate(run))


def export(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes the folded network of a run as an ONNX graph with a manifest, checked against PyTorch."""
    from modicum.saliency.export import export_saliency
    from modicum.saliency.preparation import preprocessing_of, read_preprocessing

    folder, recipe = open_run(run)
    network: Any = load_for_inference(folder, recipe)
    preprocessing = read_preprocessing(folder.weights) or preprocessing_of(recipe)
    return export_saliency(network, Path(out) if out else folder.path / "export", preprocessing)


def data(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Sheet":
    """Checks a set of images with masks: pairs, unreadable files, sizes that differ, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if something cannot be read.
        preview: Write a sheet of examples with their masks here.
    """
    from modicum.saliency.report import survey_sheet
    from modicum.saliency.survey import survey

    return survey_sheet(survey(source, strict=strict, preview=preview))
