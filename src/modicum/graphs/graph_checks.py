"""What the parts of a graph must be to make one; errors name what does not fit."""

from typing import TYPE_CHECKING

import numpy as np

from modicum.graphs.activations import ACTIVATIONS

if TYPE_CHECKING:
    from modicum.graphs.graph import Graph


def check_graph(graph: "Graph") -> None:
    """Raises ValueError if the parts do not make a graph.

    Raises:
        ValueError: As `Graph` says.
    """
    _check_sizes(graph)
    _check_edges(graph)
    _check_missing_biases(graph)


def _check_sizes(graph: "Graph") -> None:
    if graph.num_inputs < 1 or graph.num_outputs < 1:
        raise ValueError(f"a graph needs inputs and outputs, got {graph.num_inputs} and {graph.num_outputs}")
    if not len(graph.sources) == len(graph.targets) == len(graph.weights):
        lengths = f"{len(graph.sources)}, {len(graph.targets)} and {len(graph.weights)}"
        raise ValueError(f"sources, targets and weights need one entry per edge, got {lengths}")
    if len(graph.biases) != graph.num_hidden + graph.num_outputs:
        expected = f"{graph.num_hidden} hidden neurons and {graph.num_outputs} outputs"
        raise ValueError(f"{expected} need {graph.num_hidden + graph.num_outputs} biases, got {len(graph.biases)}")
    if unknown := sorted(set(graph.activations) - set(ACTIVATIONS)):
        raise ValueError(f"activations must be among {', '.join(ACTIVATIONS)}, got {', '.join(unknown)}")
    if not (np.isfinite(graph.weights).all() and np.isfinite(graph.biases).all()):
        raise ValueError("weights and biases must be finite numbers")


def _check_missing_biases(graph: "Graph") -> None:
    nodes = set(graph.without_bias)
    if len(nodes) < len(graph.without_bias) or not nodes <= set(range(graph.num_inputs, graph.num_nodes)):
        raise ValueError(
            f"without_bias must name hidden neurons and outputs ({graph.num_inputs}..{graph.num_nodes - 1}), each "
            f"once, got {graph.without_bias}"
        )
    if graph.biases[~graph.has_bias].any():
        raise ValueError(f"nodes without a bias, {graph.without_bias}, must have 0 in its place")


def _check_edges(graph: "Graph") -> None:
    is_legal = (graph.sources >= 0) & (graph.sources < graph.targets) & (graph.targets < graph.num_nodes)
    is_legal &= (graph.sources < graph.first_output) & (graph.targets >= graph.num_inputs)
    if not is_legal.all():
        edge = int(np.argmin(is_legal))
        raise ValueError(
            f"edge {graph.sources[edge]} -> {graph.targets[edge]} is not possible: edges lead from a lower to a "
            f"higher node, out of inputs and hidden neurons (0..{graph.first_output - 1}), into hidden neurons and "
            f"outputs ({graph.num_inputs}..{graph.num_nodes - 1})"
        )
    keys = graph.sources * graph.num_nodes + graph.targets
    if len(np.unique(keys)) < len(keys):
        raise ValueError("two edges join the same nodes: add up their weights")
