"""The verbs for image restoration; see `modicum.verbs`. Importing this module is instant."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.storage import DataError, RecipeError, RunFolder
from modicum.systems import get_system, locate
from modicum.verbs.runs import load_for_inference, open_run
from modicum.verbs.sheets import compare, figures, write_report

__all__ = ["compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report"]

if TYPE_CHECKING:
    from modicum.imaging.files import Failure
    from modicum.nn.tiling import Progress
    from modicum.reporting.sheets import Sheet
    from modicum.restore.inference import Inference
    from modicum.restore.predictor import Predictor, Restored


def predictor(
    run: str | Path, *, ensemble: bool = False, memory_gib: float = 2.0, tile: int | None = None
) -> "Predictor":
    """What restores photographs with the network of a run.

    Args:
        run: The run folder.
        ensemble: Average over the eight symmetries of a square, for eight times the time.
        memory_gib: Bound on the memory beyond the photograph and its result; tiles become smaller where they must.
        tile: Side of the tiles in pixels; None is what the run was evaluated with.

    Raises:
        RecipeError: If an ensemble is asked of a demosaicer.
    """
    from modicum.restore.predictor import Predictor

    folder, recipe = open_run(run)
    if ensemble and not recipe.task.has_symmetries:
        raise RecipeError("--ensemble turns and flips what the network sees, which a Bayer mosaic does not stand")
    return Predictor(_inference(folder, recipe, ensemble, memory_gib, tile), recipe.task)


def evaluate(run: str | Path, *, classics: bool | None = None, ensemble: bool = True) -> "Sheet":
    """Measures a run on its test images beside the baselines; keeps the figures in the run folder.

    Args:
        run: The run folder.
        classics: Also measure methods that need no training; None does as the recipe's ``baselines`` says.
        ensemble: Also measure the mean over the eight symmetries of a square.
    """
    from modicum.reporting.restore import restoration_sheet
    from modicum.reporting.sheets import keep_figures
    from modicum.restore.evaluation import evaluate_run

    folder, recipe = open_run(run)
    system = folder.read_state().system
    inference = _inference(folder, recipe)
    is_whole = classics is None and ensemble  # a look at less does not replace the run's own figures
    sheet = restoration_sheet(
        evaluate_run(
            folder,
            inference,
            recipe,
            system=system,
            classics=recipe.baselines if classics is None else classics,
            ensemble=ensemble,
        )
    )
    if is_whole:
        keep_figures(folder, sheet)
    return sheet


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    *,
    out: str | Path = "restored",
    comparison: bool = False,
    ensemble: bool = False,
    memory_gib: float = 2.0,
    tile: int | None = None,
) -> Iterator["Restored | Failure"]:
    """Restores image files, all their pages; depth, alpha, EXIF, XMP, resolution and colour profile survive.

    Args:
        run: The run folder.
        inputs: Image files, folders of images, or patterns.
        out: The file to write, such as out.png, for one input; else a folder for PNG files (TIFF or WebP for pages).
        comparison: Also write NAME_comparison.png, before and after side by side.
        ensemble: Average over the eight symmetries of a square, for eight times the time.
        memory_gib: Bound on the memory beyond the photograph and its result; tiles become smaller where they must.
        tile: Side of the tiles in pixels; None is what the run was evaluated with.
    """
    from modicum.imaging.files import Failure, expand_inputs
    from modicum.restore.photo_files import check_writable
    from modicum.storage.files import write_atomically

    tool = predictor(run, ensemble=ensemble, memory_gib=memory_gib, tile=tile)
    files = expand_inputs(inputs)
    for place, target in zip(files, _targets(files, Path(out), has_comparisons=comparison), strict=True):
        accept = partial(check_writable, path=target, scale=tool.task.scale)
        with _progress(place.name) as progress:
            restored = next(tool.predict_all([place], progress, accept=accept))
        if isinstance(restored, Failure):
            yield restored
            continue
        try:
            restored.save(target)
        except DataError as error:
            yield Failure(str(place), str(error))
            continue
        if comparison:
            write_atomically(_beside(target), _png(restored.comparison()))
        yield restored


def report(run: str | Path, *, classics: bool | None = None, ensemble: bool = True) -> "Sheet":
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
        classics: Also measure methods that need no training; None does as the recipe's ``baselines`` says.
        ensemble: Also measure the mean over the eight symmetries of a square.
    """
    return write_report(run, evaluate(run, classics=classics, ensemble=ensemble))


def export(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes the network of a run as an ONNX graph of one tile with a manifest, checked against PyTorch."""
    folder, recipe = open_run(run)
    system = get_system(folder.read_state().system)
    network: Any = load_for_inference(folder, recipe)
    assert system.export is not None  # the caller has looked
    exported: Path = locate(system.export)(
        network, Path(out) if out else folder.path / "export", task=recipe.task, tile=recipe.tile, halo=recipe.halo
    )
    return exported


def data(source: str, *, strict: bool = False, preview: str | Path | None = None) -> "Sheet":
    """Checks a set of clean images: what can be read, copies, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if an image cannot be read.
        preview: Write a sheet of example images here.
    """
    from modicum.reporting.restore import survey_sheet
    from modicum.restore.survey import survey

    return survey_sheet(survey(source, strict=strict, preview=preview))


def _inference(
    folder: RunFolder,
    recipe: Any,  # noqa: ANN401  that of the run's system
    ensemble: bool = False,
    memory_gib: float = 2.0,
    tile: int | None = None,
) -> "Inference":
    from modicum.restore.inference import make_inference

    network: Any = load_for_inference(folder, recipe)
    return make_inference(
        network,
        tile=recipe.tile if tile is None else tile,
        halo=recipe.halo,
        memory_gib=memory_gib,
        is_ensemble=ensemble,
    )


@contextmanager
def _progress(name: str) -> "Iterator[Progress | None]":
    """A bar on standard error while a photograph is restored, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _targets(files: Sequence[Path], out: Path, *, has_comparisons: bool) -> list[Path]:
    """Where each restored file goes.

    Raises:
        RecipeError: If one file is named for several inputs, two files would get the same name, or an input would be
            written over.
    """
    from modicum.imaging.files import PICTURE_SUFFIXES
    from modicum.restore.photo_files import WRITABLE, output_suffix

    is_file = out.suffix.lower() in WRITABLE
    if not is_file and out.suffix.lower() in PICTURE_SUFFIXES and not out.is_dir():
        raise RecipeError(f"--out {out} cannot be written: {out.suffix} is none of {', '.join(WRITABLE)}; use .png")
    if is_file and len(files) > 1:
        raise RecipeError(f"--out {out} is one file, but there are {len(files)} inputs: name a folder")
    targets = [out] if is_file else [out / f"{file.stem}{output_suffix(file)}" for file in files]
    places: dict[Path, Path] = {}
    for file, target in zip(files, targets, strict=True):
        for written in (target, _beside(target)) if has_comparisons else (target,):
            if (other := places.setdefault(written, file)) != file:
                raise RecipeError(
                    f"{other} and {file} would both become {written}: restore them into different folders"
                )
    if lost := sorted({file.resolve() for file in files} & {written.resolve() for written in places}):
        raise RecipeError(f"--out {out} would take the place of the input {lost[0]}: name another folder")
    return targets


def _beside(target: Path) -> Path:
    """Where the comparison of a restored file goes."""
    return target.with_name(f"{target.stem}_comparison.png")


def _png(picture: Any) -> bytes:  # noqa: ANN401  a PIL image; Pillow is imported when it is needed
    import io

    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
