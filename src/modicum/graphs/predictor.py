"""From tables and pictures to what a searched graph says of them."""

# N rows, H W size of a picture in px
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.graphs.activations import Array
from modicum.graphs.evaluation import evaluate
from modicum.graphs.losses import softmax
from modicum.graphs.photographs import to_brightness
from modicum.graphs.problems import coordinates, whole_context
from modicum.graphs.recipe import TABLE_SUFFIXES, ProblemName
from modicum.graphs.tables import is_table_name, read_table
from modicum.graphs.torch_module import GraphNetwork
from modicum.imaging.decoding import BadImageError, decode, upright_rgb
from modicum.imaging.files import Failure, read_content
from modicum.storage.errors import DataError
from modicum.storage.names import printable, spreadsheet_text
from modicum.storage.outputs import files_to_json, tell_files, write_output

if TYPE_CHECKING:
    from pandas import DataFrame

Input = str | Path | Image.Image | NDArray[np.uint8] | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TablePrediction:
    """What a graph says of the rows of a table.

    Attributes:
        name: Of the table.
        target: What was predicted.
        values: (N,) numbers, or names of classes.
        probabilities: Of the predicted classes, (N,); None where the target is a number.
        rmse: Root mean squared error against the table's own target; None where it has none, or names classes.
        share_wrong: Of the classes against the table's own; None where it has none, or the target is a number.
        files: Where the predictions were written.
    """

    name: str
    target: str
    values: NDArray[Any]
    probabilities: Array | None
    rmse: float | None
    share_wrong: float | None
    files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.probabilities is None:
            spread = f"{self.target} from {self.values.min():.6g} to {self.values.max():.6g}"
            judged = "" if self.rmse is None else f"; root mean squared error {self.rmse:.6g}"
        else:
            classes, counts = np.unique(self.values, return_counts=True)
            spread = ", ".join(f"{count:,} {name}" for name, count in zip(classes, counts, strict=True))
            judged = "" if self.share_wrong is None else f"; {self.share_wrong:.1%} wrong"
        return f"{printable(self.name)}: {len(self.values):,} rows, {printable(spread)}{judged}{tell_files(self.files)}"

    def to_json(self) -> dict[str, object]:
        """Plain data, for JSON."""
        words = {"name": self.name, "target": self.target}
        plain = {**words, "values": self.values.tolist(), **files_to_json(self.files)}
        if self.probabilities is None:
            return {**plain, "rmse": self.rmse}
        return {**plain, "probabilities": self.probabilities.tolist(), "share_wrong": self.share_wrong}

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes ``NAME_predicted.csv``, one row per row of the table; says where it stands."""
        head, columns = [f"predicted {self.target}"], [self.values.tolist()]
        if self.probabilities is not None:
            head, columns = [*head, "probability"], [*columns, self.probabilities.tolist()]
        lines = [",".join(map(_csv_cell, row)) for row in (head, *zip(*columns, strict=True))]
        files = _files_of_table(Path(folder) / Path(self.name).name)
        write_output(files["table"], "\n".join(lines) + "\n")
        return files


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

    @property
    def rmse(self) -> float:
        """Root mean squared error, where white is 1."""
        return float(np.sqrt(np.mean((self.predicted - self.target) ** 2)))

    @property
    def bits_per_pixel(self) -> float:
        """Entropy of what the prediction, rounded to 256 levels, leaves to be said of the picture."""
        target, predicted = (np.rint(255 * values.clip(0, 1)) for values in (self.target, self.predicted))
        counts = np.unique(target - predicted, return_counts=True)[1]
        shares = counts / counts.sum()
        return float(-(shares * np.log2(shares)).sum())

    def __str__(self) -> str:
        height, width = self.target.shape
        return (
            f"{printable(self.name)}: {width}x{height} px, root mean squared error {self.rmse:.4f} of white, "
            f"{self.bits_per_pixel:.3f} bits per pixel are left{tell_files(self.files)}"
        )

    def to_json(self) -> dict[str, object]:
        """Plain data, for JSON."""
        height, width = self.target.shape
        sizes = {"width_px": width, "height_px": height}
        errors = {"rmse": self.rmse, "bits_per_pixel": self.bits_per_pixel}
        return {"name": self.name, **sizes, **errors, **files_to_json(self.files)}

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes ``NAME_predicted.png`` and ``NAME_residual.png``, grey where both agree; says where each stands."""
        files = _files_of_picture(Path(folder) / Path(self.name).name)
        write_output(files["predicted"], _png(to_pixels(self.predicted)))
        write_output(files["residual"], _png(to_pixels(0.5 + self.target - self.predicted)))
        return files


Prediction = TablePrediction | PicturePrediction


class Predictor:
    """Answers for tables and pictures with a searched graph.

    Args:
        network: The graph and its encoding.
        problem: What it was searched for.
    """

    def __init__(self, network: GraphNetwork, problem: ProblemName) -> None:
        self.graph, self.encoding, self.problem = network.graph, network.encoding, problem

    def __call__(self, source: Input) -> Prediction:
        """What the graph says of a table or a picture.

        Args:
            source: A table's file or its cells by name of column, such as a data frame; or, for a graph that was
                searched on a picture, also an image file, a PIL image, or an array (H, W, 3) or (H, W) uint8.

        Raises:
            DataError: If it cannot be read, or lacks a column that the graph reads.
        """
        if isinstance(source, str | Path):
            return self._predict_file(Path(source))
        if isinstance(source, Image.Image):
            return self._predict_picture("picture", np.array(upright_rgb(source)))
        if isinstance(source, np.ndarray):
            return self._predict_picture("picture", source)
        return self._predict_table("table", source)

    def predict_all(self, sources: Iterable[Input]) -> Iterator[Prediction | Failure]:
        """What the graph says of each, in order, as they come; one that cannot be read costs only itself."""
        for number, source in enumerate(sources):
            try:
                yield self(source)
            except DataError as error:
                yield Failure(str(source) if isinstance(source, str | Path) else f"input {number}", str(error))

    def predict_rows(self, table: Mapping[str, Any]) -> tuple[NDArray[Any], Array | None]:
        """Values (N,) of the rows of a table, and the probabilities (N,) of classes, where it predicts those."""
        outputs = evaluate(self.graph, self.encoding.encode(table, self.graph.used_inputs))
        if not self.encoding.classes:
            return outputs[:, 0], None
        probabilities = softmax(outputs.T).T
        names = np.array(self.encoding.classes, dtype=object)[probabilities.argmax(axis=1)]
        return names, probabilities.max(axis=1)

    def _predict_file(self, path: Path) -> Prediction:
        if is_table_name(path.name):
            return self._predict_table(str(path), _cells(read_table(path)))
        if self.problem == "table":
            raise DataError(f"it is no table: its name should end in one of {' '.join(TABLE_SUFFIXES)}")
        return self._predict_picture(str(path), np.array(decode(read_content(path))))

    def _predict_table(self, name: str, table: Mapping[str, Any]) -> TablePrediction:
        values, probabilities = self.predict_rows(table)
        judged = self._judge(table, values)
        rmse, share_wrong = (None, judged) if self.encoding.classes else (judged, None)
        return TablePrediction(name, self.encoding.target, values, probabilities, rmse, share_wrong)

    def _judge(self, table: Mapping[str, Any], values: NDArray[Any]) -> float | None:
        """The error against the table's own target; None where it has none, or not in every row."""
        if self.encoding.target not in table:
            return None
        try:
            truth = self.encoding.encode_target(np.asarray(table[self.encoding.target]))
        except DataError:
            return None
        if self.encoding.classes:
            return float(np.mean(np.array(self.encoding.classes, dtype=object)[truth] != values))
        return float(np.sqrt(np.mean((truth - values) ** 2)))

    def _predict_picture(self, name: str, pixels: NDArray[np.uint8]) -> PicturePrediction:
        if self.problem == "table":
            raise DataError("this graph predicts rows of a table, not pictures")
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise BadImageError(f"an array must be (H, W, 3) or (H, W) uint8, got {pixels.shape} {pixels.dtype}")
        target = to_brightness(pixels)
        inputs = whole_context(target) if self.problem == "next-pixel" else coordinates(*target.shape)
        return PicturePrediction(name, self.problem, target, evaluate(self.graph, inputs).reshape(target.shape))


def files_of(place: Path) -> dict[str, Path]:
    """The files that are written for an input, by kind, from its place in the output folder."""
    return _files_of_table(place) if is_table_name(place.name) else _files_of_picture(place)


def _files_of_table(place: Path) -> dict[str, Path]:
    return {"table": place.with_name(f"{place.name.partition('.')[0]}_predicted.csv")}


def _files_of_picture(place: Path) -> dict[str, Path]:
    return {kind: place.with_name(f"{place.stem}_{kind}.png") for kind in ("predicted", "residual")}


def to_pixels(brightness: Array) -> NDArray[np.uint8]:
    """Grey levels of brightness in [0, 1]; what is beyond is cut off."""
    pixels: NDArray[np.uint8] = np.rint(255 * brightness.clip(0, 1)).astype(np.uint8)
    return pixels


def _cells(frame: "DataFrame") -> dict[str, NDArray[Any]]:
    return {name: frame[name].to_numpy(object) for name in frame.columns}


def _csv_cell(value: object) -> str:
    text = repr(value) if isinstance(value, float) else spreadsheet_text(str(value))
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
