"""Writes a searched graph for deployment: ONNX in double precision, C, Python, formula and GraphML in one folder."""

# N rows, F inputs, O outputs
import logging
from pathlib import Path

import networkx as nx
import numpy as np

from modicum.exporting.folders import replaced_folder
from modicum.exporting.manifest import write_manifest
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import check_parity
from modicum.graphs.activations import Array
from modicum.graphs.drawing import to_networkx
from modicum.graphs.evaluation import evaluate
from modicum.graphs.formula import make_formula
from modicum.graphs.runner import SYSTEM, OnnxGraph
from modicum.graphs.source import to_c, to_python
from modicum.graphs.torch_module import FrozenGraph, GraphNetwork
from modicum.storage.files import JSON

logger = logging.getLogger(__name__)

TOLERANCE = 1e-6
NUM_SAMPLES = 257  # random inputs that the export is held against the graph on
POLICY = (
    "Missing cells are empty, NaN, NA or None, and the missing_words; in columns of numbers, also texts that are no "
    "numbers. Missing numbers are taken as fill, missing texts as the category 'missing'; where there is none, and for "
    "texts that are no category and infinite numbers, the row has no answer: NaN. Columns without used inputs are not "
    "looked at. Dates are days since 1970-01-01 (UTC)."
)
SOURCES = ("predict.c", "predict.py", "formula.txt", "formula.tex", "graph.graphml")


def export_searched(network: GraphNetwork, folder: str | Path) -> Path:
    """Writes the files that `OnnxGraph` runs, and `SOURCES` beside them; checks the ONNX graph against NumPy.

    The folder appears when all is written and the graph has answered alike, to 1e-6. An earlier export in its place is
    replaced.

    Args:
        network: The graph with its encoding.
        folder: Where to write.

    Returns:
        The folder.

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the export answers differently, or the folder holds other files.
    """
    import torch

    plain = network.cpu()
    details: dict[str, JSON] = {
        "inputs": {
            "shape": ["batch", plain.graph.num_inputs],
            "dtype": "float64",
            "names": list(plain.encoding.features),
        },
        "outputs": list(plain.encoding.outputs),
        "encoding": plain.encoding.to_json(),
        "used": plain.graph.used_inputs.tolist(),
        "policy": POLICY,
    }
    with replaced_folder(folder, others=SOURCES) as new:
        graph = export_graph(
            FrozenGraph(plain).eval(),
            (torch.from_numpy(sample_inputs(plain)[:2]),),
            new / "graph.onnx",
            input_names=["inputs"],
            output_names=["outputs"],
        )
        write_sources(plain, new)
        write_manifest(new, system=SYSTEM, graphs={"graph": graph}, details=details)  # last: it has the hashes of all
        worst = check_export(plain, new)
    logger.info("exported to %s; worst difference from the graph %.1e", folder, worst)
    return Path(folder)


def write_sources(network: GraphNetwork, folder: Path) -> None:
    """Writes `SOURCES`: the graph in C, Python, text, LaTeX and GraphML."""
    graph, encoding = network.graph, network.encoding
    formula = make_formula(graph, encoding.symbols, encoding.outputs)
    texts = (
        to_c(graph, encoding),
        to_python(graph, encoding),
        "\n".join(formula.lines(digits=17)) + "\n",
        "% needs \\usepackage{amsmath}\n\\begin{align*}\n"
        + " \\\\\n".join(formula.latex(relation="&="))
        + "\n\\end{align*}\n",
    )
    for name, text in zip(SOURCES, texts, strict=False):
        (folder / name).write_text(text, encoding="utf-8")
    drawn = to_networkx(graph, encoding.features, encoding.outputs, input_scale=network.spread.numpy())
    nx.write_graphml(drawn, folder / SOURCES[-1])


def check_export(network: GraphNetwork, folder: str | Path) -> float:
    """Returns the largest difference between a graph and its export; raises `ExportError` above 1e-6."""
    runner, inputs = OnnxGraph(folder, threads=1), sample_inputs(network)
    expected = evaluate(network.graph, inputs)
    return max(
        check_parity({"outputs": expected[:count]}, {"outputs": runner.run(inputs[:count])}, TOLERANCE)
        for count in (1, NUM_SAMPLES)
    )


def sample_inputs(network: GraphNetwork) -> Array:
    """Draws raw inputs (N, F) with the mean and spread of the training inputs."""
    noise = np.random.default_rng(0).standard_normal((NUM_SAMPLES, network.graph.num_inputs))
    return network.centre.numpy() + network.spread.numpy() * noise
