"""Graphs as plain JSON data and as safetensors files that carry what belongs to them; loading executes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from modicum.graphs.graph import Graph
from modicum.storage.errors import WeightsError
from modicum.storage.files import JSON, dump_json
from modicum.storage.header import (
    FORMAT,
    FORMAT_VERSION,
    interpret_metadata,
    locate_weights,
    read_raw_header,
    verify_digest,
    write_weights,
)
from modicum.storage.provenance import modicum_version

STORAGE_NAME = "graph"
_ARRAYS = ("sources", "targets", "weights", "biases")


def to_json(graph: Graph) -> dict[str, JSON]:
    """Returns a graph as plain data; numbers survive to the last bit."""
    return {**_config(graph), **{name: getattr(graph, name).tolist() for name in _ARRAYS}}


def from_json(content: Mapping[str, Any]) -> Graph:
    """Rebuilds a graph from the result of `to_json`.

    Raises:
        KeyError: If a part is missing.
        ValueError: If the parts do not make a graph.
    """
    return Graph(
        content["num_inputs"],
        content["num_outputs"],
        tuple(content["activations"]),
        **{name: np.array(content[name]) for name in _ARRAYS},
        without_bias=tuple(content.get("without_bias", ())),  # files may say nothing of it where all have one
    )


def save_graph(path: str | Path, graph: Graph, *, notes: Mapping[str, JSON] | None = None) -> None:
    """Writes a graph into one safetensors file, atomically: edges and parameters as tensors, the rest as metadata.

    Args:
        path: The file to write; missing parent folders are made.
        graph: Any graph.
        notes: Anything readable to keep with it; `modicum.storage.read_header` returns it.
    """
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "modicum_version": modicum_version(),
        "network": STORAGE_NAME,
        "config": dump_json(_config(graph)),
        "notes": dump_json(notes or {}),
    }
    write_weights(path, metadata, save({name: getattr(graph, name) for name in _ARRAYS}))


def load_graph(path: str | Path) -> Graph:
    """Loads the graph of a file that `save_graph` wrote.

    Args:
        path: The file, or a run folder that holds ``model.safetensors``.

    Raises:
        WeightsError: If the file is missing, damaged, of another program or newer format, or holds no graph.
    """
    file = locate_weights(path)
    raw = read_raw_header(file)
    header = interpret_metadata(raw.metadata, file)
    verify_digest(file, raw)
    if header.network != STORAGE_NAME:
        raise WeightsError(f"{file} holds the network {header.network!r}, not a graph of neurons: name another file")
    try:
        return from_json({**header.config, **load_file(file)})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file} is damaged ({error}): copy it again, or train again") from error


def _config(graph: Graph) -> dict[str, JSON]:
    return {
        "num_inputs": graph.num_inputs,
        "num_outputs": graph.num_outputs,
        "activations": list(graph.activations),
        "without_bias": list(graph.without_bias),
    }
