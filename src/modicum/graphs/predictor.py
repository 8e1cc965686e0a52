"""From tables and pictures to what a searched graph says of them."""

# N rows, H W size of a picture in px
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.graphs.activations import Array
from modicum.graphs.encoding import EncodedRows
from modicum.graphs.evaluation import evaluate
from modicum.graphs.losses import softmax
from modicum.graphs.photographs import Picture, strips
from modicum.graphs.problems import CONTEXT_ROWS, coordinates, whole_context
from modicum.graphs.recipe import TABLE_SUFFIXES, ProblemName, TableOptions
from modicum.graphs.table import Table, as_table, is_table_name, read_table
from modicum.graphs.table_prediction import TablePrediction, file_of_table
from modicum.graphs.torch_module import GraphNetwork
from modicum.imaging.pictures import Source, read_upright
from modicum.prediction import PICTURE_KINDS, Advanced, Failure, Kind, Limits, Pending, pend
from modicum.storage.errors import DataError
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json, tell_files, write_output

DOUBLE_PIXELS = 1 << 22  # pictures of more are kept in single precision
Input = Source | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class PicturePrediction:
    """What a graph makes of a picture.

    Attributes:
        name: Of the picture.
        problem: What the graph predicts.
        target: Brightness of the picture, (H, W) in [0, 1].
        predicted: By the graph, (H, W), as it is.
        files: Where prediction and residual were written.
    """

    name: str
    problem: ProblemName
    target: Array
    predicted: Array
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def rmse(self) -> float:
        """Root mean squared error, where white is 1."""
        squares = sum(
            float(((self.predicted[r] - self.target[r]).astype(np.float64) ** 2).sum()) for r in self._strips()
        )
        return float(np.sqrt(squares / self.target.size))

    @cached_property
    def bits_per_pixel(self) -> float:
        """Entropy of what the prediction, rounded to 256 levels, leaves to be said of the picture."""
        counts = np.zeros(511, dtype=np.int64)
        for rows in self._strips():
            target, predicted = (to_pixels(values[rows]).astype(np.int64) for values in (self.target, self.predicted))
            counts += np.bincount((target - predicted + 255).ravel(), minlength=511)
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log2(shares)).sum())

    def _strips(self) -> Iterator[slice]:
        return strips(*self.target.shape)

    def __str__(self) -> str:
        height, width = self.target.shape
        return (
            f"{printable(self.name)}: {width}x{height} px, root mean squared error {self.rmse:.4f} of white, "
            f"{self.bits_per_pixel:.3f} bits per pixel are left{tell_files(self.files)}"
        )

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON."""
        height, width = self.target.shape
        sizes = {"width_px": width, "height_px": height}
        errors = {"rmse": self.rmse, "bits_per_pixel": self.bits_per_pixel}
        return {"name": self.name, **sizes, **errors, **files_to_json(self.files)}

    def pictures(self) -> dict[str, Image.Image]:
        """Returns the prediction and the residual, which is grey where both agree."""
        predicted, residual = np.empty((2, *self.target.shape), dtype=np.uint8)
        for rows in self._strips():
            predicted[rows] = to_pixels(self.predicted[rows])
            residual[rows] = to_pixels(0.5 + self.target[rows] - self.predicted[rows])
        return {"predicted": Image.fromarray(predicted), "residual": Image.fromarray(residual)}

    def encode(self) -> dict[str, bytes]:
        """Returns ``predicted.png`` and ``residual.png``."""
        return {f"{kind}.png": _png(picture) for kind, picture in self.pictures().items()}

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes ``NAME_predicted.png`` and ``NAME_residual.png``, grey where both agree; returns their paths."""
        files = _files_of_picture(Path(folder) / Path(self.name).name)
        for file, content in zip(files.values(), self.encode().values(), strict=True):
            write_output(file, content)
        return files


Prediction = TablePrediction | PicturePrediction
Unseen = Literal["empty", "refuse"]


class Predictor:
    """Answers for tables and pictures with a searched graph.

    Args:
        network: The graph and its encoding.
        problem: What it was searched for.
        options: How files of tables are read.
        unseen: What becomes of rows that cannot be answered, see `modicum.graphs.encoding`: "empty" leaves their
            answers empty, "refuse" the whole table out.
    """

    def __init__(
        self,
        network: GraphNetwork,
        problem: ProblemName,
        *,
        options: TableOptions | None = None,
        unseen: Unseen = "empty",
    ) -> None:
        self.graph, self.encoding, self.problem = network.graph, network.encoding, problem
        self.options, self.unseen = options or TableOptions(), unseen

    @property
    def limits(self) -> Limits:
        """Accepts tables, and pictures if it was searched on one."""
        kinds: tuple[Kind, ...] = PICTURE_KINDS if self.problem != "table" else ("path",)
        return Limits((*kinds, "table"), smallest_px=1 if self.problem != "table" else 0, precisions=("float64",))

    def __call__(self, source: Input) -> Prediction:
        """Predicts from a table or a picture.

        Args:
            source: A table's file or its cells by name of column, such as a data frame; or, for a graph that was
                searched on a picture, also an image file, a PIL image, or an array (H, W, 3) or (H, W) uint8.

        Raises:
            DataError: If it cannot be read, or lacks a column that the graph reads.
        """
        return self._predict(*self._open(source))

    def predict_all(self, sources: Iterable[Input]) -> Iterator[Prediction | Failure]:
        """Yields the prediction for each input in order; inputs that cannot be read give a `Failure`."""
        for read in map(self._read_source, count(), sources):
            yield read if isinstance(read, Failure) else self._answer(read)

    def start(self, sources: Iterable[Input]) -> list["Pending[_Source] | Failure"]:
        """Reads tables and pictures, each of which takes one step then; see `modicum.prediction.Predictor`."""
        return pend(
            map(self._read_source, count(), sources),
            lambda source: source.data.size if isinstance(source.data, Picture) else "table",
        )

    def advance(self, pendings: Sequence["Pending[_Source]"], *, knob: float | None = None) -> Advanced:
        """Predicts from tables or pictures, one after the other; see `modicum.prediction.Predictor`."""
        return Advanced([(pending.item, self._answer(pending.state)) for pending in pendings], [])

    def _read(self, table: Table) -> EncodedRows:
        rows = self.encoding.read(table, self.graph.used_inputs)
        if rows.problems and (self.unseen == "refuse" or not rows.is_usable.any()):
            raise DataError("; ".join(rows.problems))
        return rows

    def _answers(self, rows: EncodedRows) -> tuple[NDArray[Any], Array | None]:
        outputs = evaluate(self.graph, rows.inputs)
        outputs[~rows.is_usable] = np.nan
        if not self.encoding.classes:
            return outputs[:, 0], None
        probabilities = softmax(outputs.T).T
        names = np.array(self.encoding.classes, dtype=object)[probabilities.argmax(axis=1)]
        names[~rows.is_usable] = None
        return names, probabilities.max(axis=1)

    def _read_source(self, number: int, source: Input) -> "_Source | Failure":
        given = str(source) if isinstance(source, str | Path) else f"input {number}"
        try:
            return _Source(given, *self._open(source))
        except DataError as error:
            return Failure(given, str(error))

    def _answer(self, source: "_Source") -> Prediction | Failure:
        try:
            return self._predict(source.name, source.data)
        except DataError as error:
            return Failure(source.given, str(error))

    def _open(self, source: Input) -> tuple[str, Table | Picture]:
        if isinstance(source, bytes | Image.Image | np.ndarray | None):
            return "picture", Picture(read_upright(source))
        if not isinstance(source, str | Path):
            return "table", as_table(source)
        path = Path(source)
        if is_table_name(path.name):
            return str(path), read_table(path, self.options)
        if self.problem == "table":
            raise DataError(f"it is no table: its name should end in one of {' '.join(TABLE_SUFFIXES)}")
        return str(path), Picture(read_upright(path))

    def _predict(self, name: str, data: Table | Picture) -> Prediction:
        return self._predict_table(name, data) if isinstance(data, Table) else self._predict_picture(name, data)

    def _predict_table(self, name: str, table: Table) -> TablePrediction:
        rows = self._read(table)
        values, probabilities = self._answers(rows)
        judged = self._judge(table, values, rows.is_usable)
        rmse, share_wrong = (None, judged) if self.encoding.classes else (judged, None)
        told = [f"{problem}; left empty" for problem in rows.problems]
        return TablePrediction(
            name, self.encoding.target, values, probabilities, rmse, share_wrong, table, (*told, *rows.notes)
        )

    def _judge(self, table: Table, values: NDArray[Any], is_usable: NDArray[np.bool_]) -> float | None:
        """Returns the error on rows with a target and a prediction; None if there are no such rows."""
        if self.encoding.target not in table.columns:
            return None
        truth, is_known = self.encoding.encode_target(self.encoding.cells(table, self.encoding.target))
        both = is_known & is_usable
        if not both.any():
            return None
        if self.encoding.classes:
            return float(np.mean(np.array(self.encoding.classes, dtype=object)[truth[both]] != values[both]))
        return float(np.sqrt(np.mean((truth[both] - values[both]) ** 2)))

    def _predict_picture(self, name: str, picture: Picture) -> PicturePrediction:
        if self.problem == "table":
            raise DataError("this graph predicts rows of a table, not pictures")
        height, width = picture.size
        dtype = np.float64 if height * width <= DOUBLE_PIXELS else np.float32
        target, predicted = np.empty((height, width), dtype), np.empty((height, width), dtype)
        for rows, brightness, inputs in self._strips(picture):
            target[rows] = brightness
            predicted[rows] = evaluate(self.graph, inputs).reshape(brightness.shape)
        return PicturePrediction(name, self.problem, target, predicted)

    def _strips(self, picture: Picture) -> Iterator[tuple[slice, Array, Array]]:
        """Yields strips of a picture: their rows, brightness, and the graph's inputs for all of their pixels."""
        height, width = picture.size
        for rows in strips(height, width):
            brightness = picture.brightness(rows)
            if self.problem == "next-pixel":
                above = picture.brightness(slice(max(0, rows.start - CONTEXT_ROWS), rows.stop))
                inputs = whole_context(above)[(len(above) - len(brightness)) * width :]
            else:
                inputs = coordinates(height, width, rows=rows)
            yield rows, brightness, inputs


class _Source(NamedTuple):
    """Holds the content of an input."""

    given: str  # as what it was given: its path, or its place among the inputs
    name: str  # of its answer
    data: Table | Picture


def files_of(place: Path) -> dict[str, Path]:
    """Returns the files to write for an input, by kind, from its place in the output folder."""
    return {"table": file_of_table(place)} if is_table_name(place.name) else _files_of_picture(place)


def _files_of_picture(place: Path) -> dict[str, Path]:
    return {kind: place.with_name(f"{place.stem}_{kind}.png") for kind in ("predicted", "residual")}


def to_pixels(brightness: Array) -> NDArray[np.uint8]:
    """Returns the grey levels of brightness in [0, 1]; values outside are clipped."""
    pixels: NDArray[np.uint8] = np.rint(255 * brightness.clip(0, 1)).astype(np.uint8)
    return pixels


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
