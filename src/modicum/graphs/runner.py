"""Runs an exported graph with numpy and ONNX Runtime alone: the reference for ports."""

# N rows, F inputs, O outputs
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.graphs.activations import Array
from modicum.graphs.encoding import Encoding

SYSTEM = "graphs"
DETAILS = ("encoding",)  # of the manifest


class OnnxGraph:
    """An exported graph.

    Args:
        folder: What `modicum.graphs.export.export_searched` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is not such an export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        self.encoding = Encoding.from_json(manifest.details["encoding"])
        used = manifest.details.get("used")  # exports of before 0.3 do not say
        self._used = None if used is None else np.array(used, dtype=bool)
        self._graph = GraphRunner(Path(folder), manifest.graphs["graph"], threads=threads)

    def run(self, inputs: Array) -> Array:
        """Returns outputs (N, O), numbers or the logits of the classes, of raw inputs (N, F).

        Raises:
            ValueError: If the inputs are of another shape or type.
        """
        num_inputs = len(self.encoding.features)
        if inputs.ndim != 2 or inputs.shape[1] != num_inputs or inputs.dtype != np.float64:
            raise ValueError(f"inputs must be (N, {num_inputs}) float64, got {inputs.shape} {inputs.dtype}")
        graph: Any = self._graph  # typed for single precision; this one is in double
        outputs: Array = graph(inputs)["outputs"]
        return outputs

    def predict(self, table: Mapping[str, Any]) -> Array:
        """Returns outputs (N, O) of the rows of a table, cells by name of column, such as a pandas data frame.

        Rows that cannot be answered have NaN, as `modicum.graphs.encoding` says.

        Raises:
            DataError: If a column is missing, or most cells of a column of numbers are none.
        """
        rows = self.encoding.read(table, self._used)
        outputs = self.run(rows.inputs)
        outputs[~rows.is_usable] = np.nan
        return outputs
