"""Runs a classifier out of an ONNX file as a part of a network, which carries the file's bytes with its weights."""

# n images, K classes, S side of the images in pixels
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modicum.exporting.sessions import open_session
from modicum.storage.errors import MissingExtraError, WeightsError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger(__name__)

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_TINIEST = 1e-30  # of a probability, so that its logarithm is finite


class OnnxNetwork(nn.Module):
    """Classifies images with ONNX Runtime, on the CPU; the content of the file is stored as a buffer.

    Args:
        num_bytes: Length of the content.
        gives_probabilities: Whether the graph ends in a soft-max: logits are then the logarithms of what it gives.
    """

    content: Tensor

    def __init__(self, num_bytes: int, *, gives_probabilities: bool = False) -> None:
        super().__init__()
        self.register_buffer("content", torch.zeros(num_bytes, dtype=torch.uint8))
        self.gives_probabilities = gives_probabilities
        self._session: InferenceSession | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (n, K) of images (n, 3, S, S), on the device and in the precision of these."""
        logits = logits_of(self.run(images), gives_probabilities=self.gives_probabilities)
        return logits.to(images.device, images.dtype)

    def run(self, images: Tensor) -> Tensor:
        """Returns what the graph itself gives (n, K), in its own precision, on the CPU."""
        session = self._open()
        feed = session.get_inputs()[0]
        pixels = images.detach().cpu().float().numpy().astype(_TYPES[feed.type])
        # A graph that was exported for one image gets one at a time.
        parts = np.split(pixels, len(pixels)) if feed.shape[0] == 1 and len(pixels) > 1 else [pixels]
        outputs = [session.run([session.get_outputs()[0].name], {feed.name: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(outputs))

    def file_content(self) -> bytes:
        """Returns the content of the ONNX file."""
        return self.content.cpu().numpy().tobytes()

    def tensor_names(self) -> tuple[str, str]:
        """Returns the names of the graph's input and of its first output."""
        session = self._open()
        return session.get_inputs()[0].name, session.get_outputs()[0].name

    def takes_half_precision(self) -> bool:
        """Tells whether the graph takes images as float16, not float32."""
        return _TYPES[self._open().get_inputs()[0].type] is np.float16

    def _open(self) -> "InferenceSession":
        if self._session is None:  # two threads may both open one; the last stays
            self._session = open_session(self.file_content(), torch.get_num_threads())
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        """Returns what copies take along: all but the session, which each opens for itself."""
        return {**self.__dict__, "_session": None}


def logits_of(given: Tensor, *, gives_probabilities: bool) -> Tensor:
    """Returns logits (n, K), float32, of what a graph gives: itself, or the logarithms of probabilities."""
    given = given.float()
    return given.clamp_min(_TINIEST).log() if gives_probabilities else given


def read_onnx(path: Path) -> OnnxNetwork:
    """Reads an ONNX file, weights in files beside it included.

    Raises:
        MissingExtraError: If onnx or ONNX Runtime is not installed.
        WeightsError: If the file is missing, damaged, or no classifier of images (n, 3, S, S).
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "export") from error
    if not path.is_file():
        raise WeightsError(f"{path} does not exist: give an ONNX file")
    try:
        model = onnx.load(str(path))
        content = model.SerializeToString()
        network = OnnxNetwork(len(content), gives_probabilities=_ends_in_softmax(model))
        network.content.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        session = network._open()
    except Exception as error:  # protobuf, onnx and ONNX Runtime share no type of error
        raise WeightsError(f"{path} cannot be used: {error}") from error
    _refuse_other_tasks(session, path)
    return network.eval()


def input_side(network: OnnxNetwork) -> int | None:
    """Returns the side S of the images that the graph was exported for; None if any will do."""
    height, width = network._open().get_inputs()[0].shape[2:]
    return height if isinstance(height, int) and height == width else None


def example_input(network: OnnxNetwork, size_px: int) -> dict[str, NDArray[Any]]:
    """Returns one black image (1, 3, size_px, size_px) under the name of the graph's input."""
    feed = network._open().get_inputs()[0]
    return {feed.name: np.zeros((1, 3, size_px, size_px), _TYPES[feed.type])}


def _refuse_other_tasks(session: "InferenceSession", path: Path) -> None:
    feeds, results = session.get_inputs(), session.get_outputs()
    if len(feeds) != 1 or feeds[0].type not in _TYPES or len(feeds[0].shape) != 4:
        told = ", ".join(f"{feed.name} {feed.type} {feed.shape}" for feed in feeds)
        raise WeightsError(f"{path} must take images (n, 3, height, width) as floats, but takes {told}")
    batch, channels, height, width = feeds[0].shape
    if isinstance(channels, int) and channels != 3:
        raise WeightsError(
            f"{path} must take images (n, 3, height, width), but takes {feeds[0].shape}: export channels first"
        )
    if isinstance(batch, int) and batch != 1:
        raise WeightsError(
            f"{path} takes batches of exactly {batch}: export it with a free batch size, or for one image"
        )
    if isinstance(height, int) and isinstance(width, int) and height != width:
        raise WeightsError(f"{path} takes images of {height} x {width} px: a cascade needs square ones")
    if len(results[0].shape) != 2:
        raise WeightsError(f"{path} must give one logit per class, (n, K), but gives {results[0].shape}")
    if len(results) > 1:
        log.info("%s has %d outputs; the first, %s, is used as the logits", path, len(results), results[0].name)


def _ends_in_softmax(model: Any) -> bool:  # noqa: ANN401  onnx has no types
    name = model.graph.output[0].name
    return any(node.op_type == "Softmax" and name in node.output for node in model.graph.node)
