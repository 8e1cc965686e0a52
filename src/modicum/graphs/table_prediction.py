"""What a graph says of the rows of a table, and the table with that written beside each row."""

# N rows
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array
from modicum.graphs.table import Table
from modicum.graphs.wording import counted
from modicum.storage.files import write_atomically


@dataclass(frozen=True, eq=False)
class TablePrediction:
    """What a graph says of the rows of a table.

    Attributes:
        name: Of the table.
        target: What was predicted.
        values: (N,) numbers, or names of classes; NaN or None in rows that could not be answered.
        probabilities: Of the predicted classes, (N,), NaN without one; None where the target is a number.
        rmse: Root mean squared error against the table's own target; None where it has none, or names classes.
        share_wrong: Of the classes against the table's own; None where it has none, or the target is a number.
        table: What was predicted from.
        notes: Which rows were not answered and which cells were taken as missing, one line each.
    """

    name: str
    target: str
    values: NDArray[Any]
    probabilities: Array | None
    rmse: float | None
    share_wrong: float | None
    table: Table
    notes: tuple[str, ...] = ()

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
        return f"{self.name}: {', '.join(parts)}{judged}" + "".join(f"; {note}" for note in self.notes)

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON; null where a row has no answer."""
        values = [value if known else None for value, known in zip(self.values, self.is_answered, strict=True)]
        plain = {"name": self.name, "target": self.target, "values": values, "notes": list(self.notes)}
        if self.probabilities is None:
            return {**plain, "rmse": self.rmse}
        shares = [
            float(share) if known else None for share, known in zip(self.probabilities, self.is_answered, strict=True)
        ]
        return {**plain, "probabilities": shares, "share_wrong": self.share_wrong}

    def save(self, folder: str | Path) -> Path:
        """Writes the table with its predictions beside it as ``NAME_predicted``, in its own form; returns its place."""
        added: dict[str, NDArray[Any]] = {f"predicted {self.target}": self.values}
        if self.probabilities is not None:
            added["probability"] = self.probabilities
        place = Path(folder) / f"{Path(self.name).name.partition('.')[0]}_predicted{self.table.suffix()}"
        write_atomically(place, self.table.content_with(added))
        return place
