"""From a trained network to ONNX files that answer alike without PyTorch; parity, manifest and running need no torch.

Writing graphs does: it is in the modules `folding`, `resizing` and `onnx_graphs`.
"""

from modicum.exporting.folders import replaced_folder
from modicum.exporting.manifest import Graph, Manifest, describe_graph, read_manifest, write_manifest
from modicum.exporting.parity import ExportError, check_parity
from modicum.exporting.sessions import GraphRunner

__all__ = [
    "ExportError",
    "Graph",
    "GraphRunner",
    "Manifest",
    "check_parity",
    "describe_graph",
    "read_manifest",
    "replaced_folder",
    "write_manifest",
]
