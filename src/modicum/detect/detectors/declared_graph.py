"""A user's graph of a detector, run by ONNX Runtime as its declaration says (needs no torch)."""

# B batch, H W size of a picture in px, P Q size of the input
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from modicum.detect.detectors.graph_boxes import Picture, Seen, relabelled
from modicum.detect.detectors.onnx_declaration import OnnxDeclaration, parse_declaration
from modicum.detect.detectors.onnx_outputs import Arrays, read_outputs
from modicum.exporting.parity import ExportError
from modicum.exporting.sessions import open_session
from modicum.storage.errors import WeightsError, first_few

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


DECLARED = "declared"  # what the manifest of an export calls this kind of detector


@dataclass(frozen=True)
class DeclaredSettings:
    """What the manifest of an export states of a user's graph.

    Attributes:
        declaration: What its input and outputs mean.
        new_labels: The label under which each of the graph's is reported, -1 for none; None reports its own.
    """

    declaration: OnnxDeclaration
    new_labels: tuple[int, ...] | None = None

    def stated(self) -> dict[str, Any]:
        """Returns the settings as plain JSON, for the manifest."""
        return {"kind": DECLARED, **asdict(self)}

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> "DeclaredSettings":
        """Returns the settings that a manifest states; raises KeyError, TypeError or ValueError if they are damaged."""
        labels = stated["new_labels"]
        return cls(parse_declaration(stated["declaration"]), None if labels is None else tuple(labels))


@dataclass(frozen=True)
class Feed:
    """The input of a graph: (B, 3, P, Q), or (3, P, Q)."""

    name: str
    dtype: type[Any]
    size: tuple[int, int] | None  # P and Q where they are fixed
    has_batch: bool
    is_free: bool  # whether B may be anything

    def shaped(self, image: NDArray[Any]) -> NDArray[Any]:
        """Returns one image (1, 3, P, Q) as the graph takes it."""
        return image if self.has_batch else image[0]


@final
class DeclaredGraph:
    """Detects with a graph that takes images (B, 3, H, W), of any size or of one, and of any batch or one by one.

    A picture smaller than the only size of a graph is padded; a larger one is refused, because the graph cannot be
    given its true pixels: choose windows of that size.

    Args:
        graph: An ONNX file, or the content of one that keeps its weights inside.
        file: What messages call it.
        stated: What its input and outputs mean.
        new_labels: The label under which each of the graph's is reported, -1 for none; None reports its own.
        threads: Threads of ONNX Runtime; None takes all cores.

    Raises:
        MissingExtraError: If ONNX Runtime is not installed.
        WeightsError: If the graph cannot be run, or does not fit its declaration.
    """

    def __init__(
        self,
        graph: Path | bytes,
        file: Path,
        stated: OnnxDeclaration,
        *,
        new_labels: Sequence[int] | None = None,
        threads: int | None = None,
    ) -> None:
        self._file, self.stated, self._new_labels = file, stated, new_labels
        try:
            self._session = open_session(graph, threads)
        except ExportError as error:
            raise WeightsError(f"{file}: {error}") from error
        self.feed = _read_feed(self._session, file)
        self._runs_batches = self.feed.is_free and self._check_outputs() == 3

    def detect(self, pictures: Sequence[Picture]) -> list[Seen]:
        """Returns what the graph finds in each picture (H, W, 3), RGB; those of one size share a run if it can.

        Raises:
            ValueError: If a picture is larger than the only size that the graph takes.
        """
        places, found = dict[tuple[int, ...], list[int]](), dict[int, Seen]()
        for place, picture in enumerate(pictures):
            places.setdefault(picture.shape[:2], []).append(place)
        for (height, width), own in places.items():
            batch = self.prepare([pictures[place] for place in own])
            padded = (batch.shape[2], batch.shape[3])
            for place, outputs in zip(own, self._run(batch), strict=True):
                seen = read_outputs(outputs, self.stated, (height, width), padded)
                found[place] = relabelled(seen, self._new_labels)
        return [found[place] for place in range(len(pictures))]

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width of what the graph gets for a picture of this size.

        Raises:
            ValueError: If the picture is larger than the only size that the graph takes.
        """
        only, multiple = self.feed.size, self.stated.size_multiple
        if only is None:
            return -(-height // multiple) * multiple, -(-width // multiple) * multiple
        if height > only[0] or width > only[1]:
            raise ValueError(
                f"{self._file} takes images of {only[1]}x{only[0]} px alone, got {width}x{height}: choose windows of "
                "at most that size, or export it with free height and width"
            )
        return only

    def prepare(self, pictures: Sequence[Picture]) -> NDArray[Any]:
        """Returns the input (B, 3, P, Q) of pictures (H, W, 3) of one size."""
        stated, (height, width) = self.stated, pictures[0].shape[:2]
        canvas = np.full((len(pictures), 3, *self.input_shape(height, width)), stated.pad, np.uint8)
        for place, picture in enumerate(pictures):
            canvas[place, :, :height, :width] = picture.transpose(2, 0, 1)
        if stated.channels == "bgr":
            canvas = canvas[:, ::-1]
        if self.feed.dtype == np.uint8:
            return canvas
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (stated.mean, stated.std))
        values = (canvas.astype(np.float32) / 255 - mean) / std * stated.range
        return values.astype(self.feed.dtype)

    def _run(self, batch: NDArray[Any]) -> list[Arrays]:
        """Returns the outputs by name for each picture, without the dimension of the batch."""
        names = self.stated.outputs
        if self._runs_batches:
            outputs = self._session.run(list(names), {self.feed.name: batch})
            return [{name: each[n] for name, each in zip(names, outputs, strict=True)} for n in range(len(batch))]
        found: list[Arrays] = []
        for image in batch:
            outputs = self._session.run(list(names), {self.feed.name: self.feed.shaped(image[None])})
            has_batch = outputs[0].ndim == 3
            found.append({n: each[0] if has_batch else each for n, each in zip(names, outputs, strict=True)})
        return found

    def _check_outputs(self) -> int:
        """Returns the dimensions of the output with boxes; raises `WeightsError` if declared outputs are missing."""
        given = {output.name: output.shape for output in self._session.get_outputs()}
        if missing := [name for name in self.stated.outputs if name not in given]:
            raise WeightsError(
                f"{self._file} has no output {first_few(missing)}; it has {', '.join(given)}: correct its JSON file"
            )
        return len(given[self.stated.outputs[0]])


def _read_feed(session: "InferenceSession", file: Path) -> Feed:
    feeds = session.get_inputs()
    told = ", ".join(f"{feed.name} {feed.type} {feed.shape}" for feed in feeds)
    shape = feeds[0].shape
    if len(feeds) != 1 or feeds[0].type not in _TYPES or len(shape) not in (3, 4) or shape[-3] not in (3, None, "3"):
        raise WeightsError(f"{file} must take images (n, 3, height, width), but takes {told}: export channels first")
    height, width = shape[-2:]
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    if size is None and (isinstance(height, int) or isinstance(width, int)):
        raise WeightsError(f"{file} takes {told}: height and width must both be fixed, or both be free")
    return Feed(feeds[0].name, _TYPES[feeds[0].type], size, len(shape) == 4, len(shape) == 4 and shape[0] != 1)
