"""Running exported graphs with ONNX Runtime and numpy alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modicum.exporting.manifest import Graph
from modicum.exporting.parity import ExportError
from modicum.storage.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class GraphRunner:
    """One loaded graph; calling it is safe from several threads. A graph of batches of one gets one sample at a time.

    Args:
        folder: Where the graph's files are.
        graph: The manifest's entry.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        MissingExtraError: If ONNX Runtime is not installed.
        ExportError: If ONNX Runtime cannot load the graph.
    """

    def __init__(self, folder: Path, graph: Graph, *, threads: int | None = None) -> None:
        self._graph = graph
        self._session = open_session(folder / graph.file, threads)
        self._takes_one = self._session.get_inputs()[0].shape[:1] == [1]

    def __call__(self, *inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the outputs by name, for inputs in the order of the graph's ``input_names``."""
        names, num_samples = self._graph.output_names, len(inputs[0])
        if not self._takes_one or num_samples == 1:
            return dict(zip(names, self._run(inputs), strict=True))
        each = [self._run([value[row : row + 1] for value in inputs]) for row in range(num_samples)]
        return dict(zip(names, map(np.concatenate, zip(*each, strict=True)), strict=True))

    def _run(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        feed = {name: np.ascontiguousarray(value) for name, value in zip(self._graph.input_names, inputs, strict=True)}
        outputs: list[NDArray[np.float32]] = self._session.run(list(self._graph.output_names), feed)
        return outputs


def open_session(graph: Path | bytes, threads: int | None) -> "InferenceSession":
    """Opens a graph in ONNX Runtime, on the CPU.

    Args:
        graph: Its file, or the content of one that keeps its weights inside.
        threads: As of `GraphRunner`.

    Raises:
        MissingExtraError: If ONNX Runtime is not installed.
        ExportError: If ONNX Runtime cannot load the graph.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    # Waiting threads sleep instead of spinning: an export is several sessions, and those that wait would take the cores
    # from the one that runs. ResNet-50 routed one by one on two threads: 32 ms an image against 76 with spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Smaller shares towards the end of an operator, so that no thread waits long for the last one.
    options.add_session_config_entry("session.dynamic_block_base", "4")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        given = graph if isinstance(graph, bytes) else str(graph)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own types are private, and share no base but this
        told = "the graph" if isinstance(graph, bytes) else graph
        raise ExportError(f"ONNX Runtime {onnxruntime.__version__} cannot load {told}: {error}") from error
