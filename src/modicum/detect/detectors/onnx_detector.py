"""A detector out of an ONNX file, run by ONNX Runtime, with a JSON file beside it that names its outputs."""

# H W size of an image in px
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.declared_graph import DeclaredGraph
from modicum.detect.detectors.onnx_declaration import OnnxDeclaration, read_declaration
from modicum.detect.detectors.protocol import check_image
from modicum.measuring.counting import UnknownCostError
from modicum.measuring.onnx_counting import count_onnx_macs
from modicum.storage.errors import MissingExtraError, WeightsError

log = logging.getLogger(__name__)


@final
class OnnxDetector:
    """Detects with a user's graph; see `modicum.detect.detectors.declared_graph.DeclaredGraph` for what it may take.

    Args:
        file: An ONNX file, its declaration beside it; see `OnnxDeclaration`.
        threads: Threads of ONNX Runtime; None takes as many as torch does.

    Attributes:
        content: The graph with its weights.

    Raises:
        MissingExtraError: If onnx or ONNX Runtime is not installed.
        WeightsError: If the file or its declaration is missing or does not fit.
    """

    def __init__(self, file: str | Path, *, threads: int | None = None) -> None:
        self._file = Path(file)
        self.declaration: OnnxDeclaration = read_declaration(self._file)
        self.content = _read_graph(self._file)
        self._graph = DeclaredGraph(
            self.content, self._file, self.declaration, threads=threads or torch.get_num_threads()
        )
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
        return self._graph.feed.size

    @property
    def input_name(self) -> str:
        """Name of the graph's input."""
        return self._graph.feed.name

    @property
    def opset(self) -> int:
        """Version of the operators of ONNX that the graph consists of."""
        import onnx  # an extra, which `_read_graph` has asked for

        model = onnx.load_model_from_string(self.content)
        return max(int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns what the graph finds in each image (3, H, W), uint8; see `Detector.detect`.

        Raises:
            ValueError: If an image is larger than the only size that the graph takes.
        """
        for image in images:
            check_image(image)
        seen = self._graph.detect([image.permute(1, 2, 0).cpu().numpy() for image in images])
        features = [None if each.features is None else torch.from_numpy(each.features) for each in seen]
        found = [Detections.of(each.found) for each in seen]
        return [
            Detections(each.boxes, each.scores, each.labels, own) for each, own in zip(found, features, strict=True)
        ]

    def macs(self, height: int, width: int) -> int | None:
        """Counts the multiply-adds of one run for an image of this size; None if the graph holds unknown operators."""
        shape, feed = self.input_shape(height, width), self._graph.feed
        if shape not in self._counted:
            blank = feed.shaped(np.zeros((1, 3, *shape), feed.dtype))
            try:
                self._counted[shape] = count_onnx_macs(self.content, {feed.name: blank})
            except UnknownCostError as error:
                log.warning("%s: %s; only its pixels and time will be told", self._file, error)
                self._counted[shape] = None
        return self._counted[shape]

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width of what the graph gets for an image; see `DeclaredGraph.input_shape`."""
        return self._graph.input_shape(height, width)


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
