"""Holds the predictions for the rows of a table, and writes the table with them beside its rows."""

# N rows
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from modicum.graphs.activations import Array
from modicum.graphs.recipe import TABLE_SUFFIXES
from modicum.graphs.table import Table, is_table_name
from modicum.storage.counting import counted
from modicum.storage.names import printable, spreadsheet_text
from modicum.storage.outputs import files_to_json, tell_files, write_output

_SUFFIXES = sorted(TABLE_SUFFIXES, key=len, reverse=True)  # .csv.gz before .csv


@dataclass(frozen=True, eq=False)
class TablePrediction:
    """Holds the predictions of a graph for the rows of a table.

    Attributes:
        name: Of the table.
        target: What was predicted.
        values: (N,) numbers, or names of classes; NaN or None in rows that could not be answered.
        probabilities: Of the predicted classes, (N,), NaN without one; None where the target is a number.
        rmse: Root mean squared error against the table's own target; None where it has none, or names classes.
        share_wrong: Of the classes against the table's own; None where it has none, or the target is a number.
        table: What was predicted from.
        notes: Which rows were not answered and which cells were taken as missing, one line each.
        files: Where the table was written with its predictions.
    """

    name: str
    target: str
    values: NDArray[Any]
    probabilities: Array | None
    rmse: float | None
    share_wrong: float | None
    table: Table
    notes: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Which rows have an answer, (N,)."""
        known: NDArray[np.bool_] = ~np.isnan(self.values if self.probabilities is None else self.probabilities)
        return known

    def __str__(self) -> str:
        known = self.values[self.is_answered]
        parts = [counted(len(self.values), "row")]
        if len(known) < len(self.values):
            parts.append(f"{len(self.values) - len(known):,} without an answer")
        if self.probabilities is None:
            parts += [f"{self.target} from {known.min():.6g} to {known.max():.6g}"] if len(known) else []
            judged = "" if self.rmse is None else f"; root mean squared error {self.rmse:.6g}"
        else:
            classes, counts = np.unique(known.astype(str), return_counts=True)
            parts += [f"{count:,} {name}" for name, count in zip(classes, counts, strict=True)]
            judged = "" if self.share_wrong is None else f"; {self.share_wrong:.1%} wrong"
        told = f"{self.name}: {', '.join(parts)}{judged}" + "".join(f"; {note}" for note in self.notes)
        return printable(told) + tell_files(self.files)

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON; null for rows without an answer."""
        values = [value if known else None for value, known in zip(self.values, self.is_answered, strict=True)]
        words: dict[str, object] = {"name": self.name, "target": self.target}
        plain = {**words, "values": values, "notes": list(self.notes), **files_to_json(self.files)}
        if self.probabilities is None:
            return {**plain, "rmse": self.rmse}
        shares = [
            float(share) if known else None for share, known in zip(self.probabilities, self.is_answered, strict=True)
        ]
        return {**plain, "probabilities": shares, "share_wrong": self.share_wrong}

    def pictures(self) -> Mapping[str, Image]:
        """Returns no pictures: a table has nothing to show."""
        return {}

    def encode(self) -> dict[str, bytes]:
        """Returns the table with its predictions beside it, in its own form, such as ``predicted.csv``."""
        added = {f"predicted {self.target}": self._cells()}
        if self.probabilities is not None:
            added["probability"] = self.probabilities
        return {f"predicted{self.table.suffix()}": self.table.content_with(added)}

    def save(self, target: str | Path) -> dict[str, Path]:
        """Writes the table with its predictions beside it, in its own form; returns the path.

        Args:
            target: The file, by the name of a table; or a folder, where it is called ``NAME_predicted``.

        Raises:
            OutputError: If something stands there that modicum did not write; it is left as it is.
        """
        place = Path(target)
        if place.is_dir() or not is_table_name(place.name):
            place = file_of_table(place / Path(self.name).name, self.table.suffix())
        (content,) = self.encode().values()
        write_output(place, content)
        return {"table": place}

    def _cells(self) -> NDArray[Any]:
        """Returns the answers as cells of the written table, escaped so that spreadsheets see no formulas."""
        if self.probabilities is None or self.table.frame is not None:
            return self.values
        texts = [spreadsheet_text(value) if isinstance(value, str) else value for value in self.values]
        return np.array(texts, dtype=object)


def file_of_table(place: Path, otherwise: str = ".csv") -> Path:
    """Returns the path for a table with its predictions, from its own place in the output folder.

    Args:
        place: The output folder with the table's own name.
        otherwise: The suffix for a table that was given in memory, without one of a file.
    """
    name = place.name
    suffix = next((name[-len(own) :] for own in _SUFFIXES if name.lower().endswith(own)), "")
    return place.with_name(f"{name.removesuffix(suffix)}_predicted{suffix or otherwise}")
