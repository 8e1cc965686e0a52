"""The verbs for graphs of neurons; see `modicum.verbs`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modicum.verbs.destinations import gather_files, in_order, names_a_file, place_outputs, write_answer
from modicum.verbs.runs import load, open_run
from modicum.verbs.sheets import claim_report, compare, figures, write_report

__all__ = ["compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report"]

if TYPE_CHECKING:
    from modicum.graphs.predictor import PicturePrediction, Predictor
    from modicum.graphs.table_prediction import TablePrediction
    from modicum.graphs.torch_module import GraphNetwork
    from modicum.imaging.files import Failure
    from modicum.reporting.report import Sheet


def predictor(
    run: str | Path,
    *,
    unseen: Literal["empty", "refuse"] = "empty",
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
) -> "Predictor":
    """Returns what answers for tables and pictures with the graph of a run.

    Args:
        run: The run folder.
        unseen: What becomes of rows with cells that training never saw; see `predict`.
        separator: Of CSV files; see `predict`.
        decimal: Of CSV files.
        encoding: Of CSV files.
    """
    from modicum.graphs.predictor import Predictor

    folder, recipe = open_run(run)
    told = {"separator": separator, "decimal": decimal, "encoding": encoding}
    options = replace(recipe.table, **{name: value for name, value in told.items() if value is not None})
    return Predictor(_network(folder.path), recipe.kind, options=options, unseen=unseen)


def evaluate(run: str | Path) -> "Sheet":
    """Measures the graph of a run beside its baselines; keeps the figures in the run folder.

    Args:
        run: The run folder.
    """
    from modicum.graphs.judging import evaluate_run
    from modicum.graphs.report import graphs_sheet
    from modicum.reporting.report import keep_figures

    folder, recipe = open_run(run)
    sheet = graphs_sheet(evaluate_run(folder, _network(folder.path), recipe))
    keep_figures(folder, sheet)
    return sheet


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    *,
    out: str | Path = "predicted",
    unseen: Literal["empty", "refuse"] = "empty",
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    force: bool = False,
) -> Iterator["TablePrediction | PicturePrediction | Failure"]:
    """Predicts the target of every row of tables, or pixels of pictures; writes a file for each.

    A table is written with all of its columns and the predicted one beside them, in the form that it was read in.

    Args:
        run: The run folder.
        inputs: Tables; for a graph of a picture also image files, or folders of images.
        out: The file to write, such as out.csv, for one table, which keeps its form; else a folder for tables of
            predictions, and pictures with what is left to be said of them, where files of folders keep their
            sub-folders.
        unseen: "empty" names rows that cannot be answered, because a cell is missing or says what training never saw,
            and leaves their answers empty; "refuse" leaves out a table that has such rows.
        separator: Between the cells of CSV files; without it, what the training was told, or what the file shows.
        decimal: Decimal mark of CSV files; likewise.
        encoding: Of CSV files, such as cp1252; likewise.
        force: Overwrite files that modicum did not write, or that were changed since.

    Raises:
        RecipeError: If ``out`` is one file for several inputs, for a picture, or of another form than its table, or
            two inputs would be written under the same name.
        OutputError: If a file stands where one would be written that must not be overwritten.
    """
    from modicum.graphs.predictor import files_of
    from modicum.graphs.table import is_table_name
    from modicum.graphs.tables import expand_sources

    def names(place: Path, _: Path) -> list[Path]:
        return [place] if names_a_file(out) else list(files_of(place).values())

    found, inputs = gather_files(inputs, expand_sources)
    files = [file for file in found if isinstance(file, Path)]
    forms = sorted({file.suffix.lower() for file in files if is_table_name(file.name)})
    places = place_outputs(inputs, files, out, names, writable=forms, force=force)
    tool = predictor(run, unseen=unseen, separator=separator, decimal=decimal, encoding=encoding)
    targets = [place if names_a_file(out) else place.parent for place in places]
    answers = zip(targets, tool.predict_all(files), strict=True)
    yield from in_order(found, (write_answer(answer, target) for target, answer in answers))


def report(run: str | Path, *, force: bool = False) -> "Sheet":
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
        force: Overwrite a report that was changed since.
    """
    claim_report(run, force=force)
    return write_report(run, evaluate(run))


def export(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes the graph of a run as ONNX, C, Python, formula and GraphML with a manifest, checked against NumPy."""
    from modicum.graphs.export import export_searched

    folder, _ = open_run(run)
    return export_searched(_network(folder.path), Path(out) if out else folder.path / "export")


def data(
    source: str,
    *,
    strict: bool = False,
    preview: str | Path | None = None,
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
) -> "Sheet":
    """Looks through a table or a picture: what each column holds, what is missing, what cannot be used.

    Args:
        source: The table or picture, as for training.
        strict: Fail if a table has empty cells or columns that cannot be used.
        preview: Write the picture as brightness, or the first rows of the table, here.
        separator: Between the cells of a CSV file; without it, what the file shows.
        decimal: Decimal mark of a CSV file; likewise.
        encoding: Of a CSV file, such as cp1252; likewise.
    """
    from modicum.graphs.recipe import TableOptions
    from modicum.graphs.report import survey_sheet
    from modicum.graphs.survey import survey

    options = TableOptions(separator=separator, decimal=decimal, encoding=encoding)
    return survey_sheet(survey(source, strict=strict, preview=preview, options=options))


def _network(run: Path) -> "GraphNetwork":
    from modicum.graphs.torch_module import GraphNetwork

    network = load(run)
    assert isinstance(network, GraphNetwork)  # the run is of this system
    return network
