"""Defines the wing of graphs of neurons; see `modicum.contract`. Importing this module is instant."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modicum.contract import Examples, Wing
from modicum.destinations import gather_files, in_order, names_a_file, place_outputs, write_answer
from modicum.graphs.recipe import GraphsRecipe, TableOptions
from modicum.prediction import Failure
from modicum.reporting.runs import ReportedRun, compare_runs

if TYPE_CHECKING:
    from modicum.graphs.predictor import Prediction, Predictor
    from modicum.graphs.torch_module import GraphNetwork
    from modicum.reporting.report import Report


class TrainedGraph(ReportedRun[GraphsRecipe, "GraphNetwork"]):
    """A run that predicts a column of a table, or a picture, with a graph of neurons."""

    def predictor(
        self,
        *,
        unseen: Literal["empty", "refuse"] = "empty",
        separator: str | None = None,
        decimal: Literal[".", ","] | None = None,
        encoding: str | None = None,
    ) -> "Predictor":
        """Returns what answers for tables and pictures with the graph.

        Args:
            unseen: What becomes of rows with cells that training never saw; see `predict`.
            separator: Of CSV files; see `predict`.
            decimal: Of CSV files.
            encoding: Of CSV files.
        """
        from modicum.graphs.predictor import Predictor

        recipe = self.run.recipe
        table = recipe.table
        options = replace(
            table,
            separator=table.separator if separator is None else separator,
            decimal=table.decimal if decimal is None else decimal,
            encoding=table.encoding if encoding is None else encoding,
        )
        return Predictor(self._network(), recipe.kind, options=options, unseen=unseen)

    def evaluate(self) -> "Report":
        """Measures the graph beside its baselines; keeps the figures in the folder."""
        from modicum.graphs.judging import evaluate_run
        from modicum.graphs.report import evaluation_report
        from modicum.reporting.records import keep_report

        report = evaluation_report(evaluate_run(self.run.folder, self._network(), self.run.recipe))
        keep_report(self.run.folder, report)
        return report

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        out: str | Path = "predicted",
        unseen: Literal["empty", "refuse"] = "empty",
        separator: str | None = None,
        decimal: Literal[".", ","] | None = None,
        encoding: str | None = None,
        force: bool = False,
    ) -> "Iterator[Prediction | Failure]":
        """Predicts the target of every row of tables, or pixels of pictures; writes a file for each.

        A table is written with all of its columns and the predicted one beside them, in the form that it was read in.

        Args:
            inputs: Tables; for a graph of a picture also image files, or folders of images.
            out: The file to write, such as out.csv, for one table, which keeps its form; else a folder for tables of
                predictions, and pictures with what is left to be said of them, where files of folders keep their
                sub-folders.
            unseen: "empty" names rows that cannot be answered, because a cell is missing or says what training never
                saw, and leaves their answers empty; "refuse" leaves out a table that has such rows.
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
        tool = self.predictor(unseen=unseen, separator=separator, decimal=decimal, encoding=encoding)
        targets = [place if names_a_file(out) else place.parent for place in places]
        answers = zip(targets, tool.predict_all(files), strict=True)
        yield from in_order(found, (write_answer(answer, target) for target, answer in answers))

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the graph as ONNX, C, Python, formula and GraphML with a manifest, checked against NumPy."""
        from modicum.graphs.export import export_searched

        return export_searched(self._network(), out or self.run.folder.path / "export")

    def _network(self) -> "GraphNetwork":
        return self.run.network()


def survey(
    source: str,
    *,
    strict: bool = False,
    preview: str | Path | None = None,
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
) -> "Report":
    """Looks through a table or a picture: what each column holds, what is missing, what cannot be used.

    Args:
        source: The table or picture, as for training.
        strict: Fail if a table has empty cells or columns that cannot be used.
        preview: Write the picture as brightness, or the first rows of the table, here.
        separator: Between the cells of a CSV file; without it, what the file shows.
        decimal: Decimal mark of a CSV file; likewise.
        encoding: Of a CSV file, such as cp1252; likewise.
    """
    from modicum.graphs import survey as surveying
    from modicum.graphs.report import survey_report

    options = TableOptions(separator=separator, decimal=decimal, encoding=encoding)
    return survey_report(surveying.survey(source, strict=strict, preview=preview, options=options))


def examples(folder: Path) -> Examples:
    """Returns a picture, a file that is none, and another picture."""
    from modicum.imaging.pictures import example_pictures

    return Examples(*example_pictures(folder))


GRAPHS = Wing("graphs", TrainedGraph, compare_runs, survey, examples)
