"""A detector out of an ONNX file, run by ONNX Runtime, with a JSON file beside it that names its outputs."""

# B batch, H W size of an image, P Q size of the input, N candidates, K classes, F features
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.onnx_declaration import OnnxDeclaration, read_declaration
from modicum.detect.detectors.onnx_outputs import Arrays, read_outputs
from modicum.detect.detectors.protocol import group_by_shape, in_order
from modicum.detect.detectors.true_pixels import padded_shape
from modicum.exporting.parity import ExportError
from modicum.exporting.sessions import open_session
from modicum.measuring.counting import UnknownCostError
from modicum.measuring.onnx_counting import count_onnx_macs
from modicum.storage.errors import MissingExtraError, WeightsError, first_few

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger(__name__)

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


@dataclass(frozen=True)
class _Feed:
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
class OnnxDetector:
    """Detects with a graph that takes images (B, 3, H, W), of any size or of one, and of any batch or one by one.

    An image smaller than the only size of a graph is padded; a larger one is refused, because the graph cannot be given
    its true pixels: choose windows of that size.

    Args:
        file: An ONNX file, its declaration beside it; see `OnnxDeclaration`.
        threads: Threads of ONNX Runtime; None takes as many as torch does.

    Raises:
        MissingExtraError: If onnx or ONNX Runtime is not installed.
        WeightsError: If the file or its declaration is missing or does not fit.
    """

    def __init__(self, file: str | Path, *, threads: int | None = None) -> None:
        self._file = Path(file)
        self.declaration: OnnxDeclaration = read_declaration(self._file)
        self._content = _read_graph(self._file)
        try:
            self._session = open_session(self._content, threads or torch.get_num_threads())
        except ExportError as error:
            raise WeightsError(f"{self._file}: {error}") from error
        self._feed = _read_feed(self._session, self._file)
        self._runs_batches = self._feed.is_free and self._check_outputs() == 3
        self._counted: dict[tuple[int, int], int | None] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return self.declaration.classes

    @property
    def squeezes_to(self) -> tuple[int, int] | None:
        """Always None: images are padded, never squeezed."""
        return None

    @property
    def only_size(self) -> tuple[int, int] | None:
        """Height and width of the only input that the graph takes; None if it takes any."""
        return self._feed.size

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns what the graph finds in each image (3, H, W), uint8; see `Detector.detect`.

        Raises:
            ValueError: If an image is larger than the only size that the graph takes.
        """
        found: dict[int, Detections] = {}
        for shape, places in group_by_shape(images):
            batch = self._prepare(torch.stack([images[place] for place in places]), shape)
            seen = (batch.shape[2], batch.shape[3])
            for place, outputs in zip(places, self._run(batch), strict=True):
                found[place] = read_outputs(outputs, self.declaration, shape, seen)
        return in_order(found)

    def macs(self, height: int, width: int) -> int | None:
        """Counts the multiply-adds of one run for an image of this size; None if the graph holds unknown operators."""
        shape = self.input_shape(height, width)
        if shape not in self._counted:
            blank = self._feed.shaped(np.zeros((1, 3, *shape), self._feed.dtype))
            try:
                self._counted[shape] = count_onnx_macs(self._content, {self._feed.name: blank})
            except UnknownCostError as error:
                log.warning("%s: %s; only its pixels and time will be told", self._file, error)
                self._counted[shape] = None
        return self._counted[shape]

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width of what the graph gets for an image of this size.

        Raises:
            ValueError: If the image is larger than the only size that the graph takes.
        """
        only = self._feed.size
        if only is None:
            return padded_shape((height, width), self.declaration.size_multiple)
        if height > only[0] or width > only[1]:
            raise ValueError(
                f"{self._file} takes images of {only[1]}x{only[0]} px alone, got {width}x{height}: choose windows of "
                "at most that size, or export it with free height and width"
            )
        return only

    def _prepare(self, images: Tensor, shape: tuple[int, int]) -> NDArray[Any]:
        """Returns the input (B, 3, P, Q) of images (B, 3, H, W)."""
        stated, (height, width) = self.declaration, self.input_shape(*shape)
        canvas = images.new_full((len(images), 3, height, width), stated.pad)
        canvas[:, :, : shape[0], : shape[1]] = images
        if stated.channels == "bgr":
            canvas = canvas.flip(1)
        if self._feed.dtype == np.uint8:
            return canvas.numpy()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (stated.mean, stated.std))
        values: NDArray[Any] = ((canvas.float() / 255 - mean) / std * stated.range).numpy()
        return values.astype(self._feed.dtype)

    def _run(self, batch: NDArray[Any]) -> list[Arrays]:
        """Returns the outputs by name for each image, without the dimension of the batch."""
        names = self.declaration.outputs
        if self._runs_batches:
            outputs = self._session.run(list(names), {self._feed.name: batch})
            return [{name: each[n] for name, each in zip(names, outputs, strict=True)} for n in range(len(batch))]
        found: list[Arrays] = []
        for image in batch:
            outputs = self._session.run(list(names), {self._feed.name: self._feed.shaped(image[None])})
            has_batch = outputs[0].ndim == 3
            found.append({n: each[0] if has_batch else each for n, each in zip(names, outputs, strict=True)})
        return found

    def _check_outputs(self) -> int:
        """Returns the dimensions of the output with boxes; raises `WeightsError` if declared outputs are missing."""
        given = {output.name: output.shape for output in self._session.get_outputs()}
        if missing := [name for name in self.declaration.outputs if name not in given]:
            raise WeightsError(
                f"{self._file} has no output {first_few(missing)}; it has {', '.join(given)}: correct its JSON file"
            )
        return len(given[self.declaration.outputs[0]])


def _read_graph(file: Path) -> bytes:
    """Returns the content of a graph with its weights, which may be in a file beside it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "export") from error
    if not file.is_file():
        raise WeightsError(f"{file} does not exist: give an ONNX file")
    try:
        content: bytes = onnx.load(str(file)).SerializeToString()
    except Exception as error:  # protobuf and onnx share no type of error
        raise WeightsError(f"{file} cannot be read as ONNX: {error}") from error
    return content


def _read_feed(session: "InferenceSession", file: Path) -> _Feed:
    feeds = session.get_inputs()
    told = ", ".join(f"{feed.name} {feed.type} {feed.shape}" for feed in feeds)
    shape = feeds[0].shape
    if len(feeds) != 1 or feeds[0].type not in _TYPES or len(shape) not in (3, 4) or shape[-3] not in (3, None, "3"):
        raise WeightsError(f"{file} must take images (n, 3, height, width), but takes {told}: export channels first")
    height, width = shape[-2:]
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    if size is None and (isinstance(height, int) or isinstance(width, int)):
        raise WeightsError(f"{file} takes {told}: height and width must both be fixed, or both be free")
    return _Feed(feeds[0].name, _TYPES[feeds[0].type], size, len(shape) == 4, len(shape) == 4 and shape[0] != 1)
