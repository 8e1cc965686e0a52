"""The verbs for salient objects; see `modicum.verbs`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.storage import RecipeError
from modicum.verbs.runs import load_for_inference, open_run
from modicum.verbs.sheets import check_written_once, compare, figures, write_report

__all__ = ["compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report"]

if TYPE_CHECKING:
    from modicum.imaging.files import Failure
    from modicum.reporting.sheets import Sheet
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
    from modicum.reporting.saliency import saliency_sheet
    from modicum.reporting.sheets import keep_figures
    from modicum.saliency.evaluation import evaluate_run

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
) -> Iterator["Salience | Failure"]:
    """Finds what is salient in image files; writes a mask, a cut-out and an overlay of each.

    Args:
        run: The run folder.
        inputs: Image files, folders of images, or patterns.
        out: The folder for the pictures.
        guided: Draw the masks of large pictures to the pictures' edges.
        batch_size: Pictures per call of the network.

    Raises:
        RecipeError: If two inputs would be written under the same name, or ``out`` has the name of a picture.
    """
    from modicum.imaging.files import PICTURE_SUFFIXES, Failure, expand_inputs

    if Path(out).suffix.lower() in PICTURE_SUFFIXES and not Path(out).is_dir():
        raise RecipeError(f"--out {out} is the folder for three pictures of each input: give the name of a folder")
    files = expand_inputs(inputs)
    check_written_once(files, (Path(out) / f"{file.stem}_mask.png" for file in files))
    for found in predictor(run, guided=guided).predict_all(files, batch_size=batch_size):
        if not isinstance(found, Failure):
            found.save(out)
        yield found


def report(run: str | Path) -> "Sheet":
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
    """
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
    from modicum.reporting.saliency import survey_sheet
    from modicum.saliency.survey import survey

    return survey_sheet(survey(source, strict=strict, preview=preview))
