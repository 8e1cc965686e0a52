"""New connections for a graph: those that help most once all parameters make use of them.

The Optimal Brain Surgeon of `modicum.graphs.pruning` read backwards; that a search adds connections as well as neurons
is our design.
"""
# P parameters of the graph, C candidates

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from modicum.graphs.activations import Array
from modicum.graphs.graph import Flags, Graph, Indices
from modicum.graphs.growing import SAMPLE_POINTS
from modicum.graphs.levenberg_marquardt import WEIGHT_DECAY, curvature
from modicum.graphs.task import Task

MAX_CANDIDATES = 256  # edges that are judged, drawn where more are missing: the curvature of all would cost too much
MIN_FRESH = 1e-6  # share of its curvature that the graph does not explain, below which a candidate is of no use


def connect(graph: Graph, task: Task, count: int, rng: np.random.Generator) -> Graph:
    """Returns the graph with a few more edges and biases, all 0 and still to be fitted.

    They are drawn by their gains: what the loss is predicted to fall by, to second order, when all others follow.

    Args:
        graph: Fitted to the points; canonical.
        task: Has the points, a first part of which is looked at.
        count: Edges and biases to add; fewer where the graph lacks fewer.
        rng: Draws the new edges and biases.
    """
    full, is_new = _filled(graph, task, rng)
    places, gains = np.flatnonzero(is_new), _gains(full, is_new, task)
    count = min(count, int(np.count_nonzero(gains)))
    chosen = rng.choice(places, count, replace=False, p=gains / gains.sum()) if count else places[:0]
    return full.without(np.setdiff1d(places, chosen)).canonical()


def _filled(graph: Graph, task: Task, rng: np.random.Generator) -> tuple[Graph, Flags]:
    """Returns the graph with candidate edges and all biases, new ones at 0, and which parameters are new."""
    sources, targets = _missing_edges(graph, task)
    drawn = np.sort(rng.permutation(len(sources))[:MAX_CANDIDATES])
    full = replace(
        graph,
        sources=np.concatenate([graph.sources, sources[drawn]]),
        targets=np.concatenate([graph.targets, targets[drawn]]),
        weights=np.concatenate([graph.weights, np.zeros(len(drawn))]),
        without_bias=(),
    )
    return full, np.concatenate([np.arange(full.num_edges) >= graph.num_edges, ~graph.has_bias])


def _missing_edges(graph: Graph, task: Task) -> tuple[Indices, Indices]:
    is_missing = np.tri(graph.num_nodes, k=-1, dtype=bool).T  # from lower to higher numbers
    is_missing[:, : graph.num_inputs] = False
    is_missing[graph.first_output :] = False
    is_missing[graph.sources, graph.targets] = False
    is_missing[np.ix_(task.shifted, graph.without_bias)] = False  # these would need a bias on raw inputs
    sources, targets = np.nonzero(is_missing)
    return sources, targets


def _gains(full: Graph, is_new: Flags, task: Task) -> Array:
    """Returns the predicted fall of half the loss for each new parameter, (C,); 0 for redundant ones."""
    hessian, gradient = curvature(full, task.points.part(0, SAMPLE_POINTS))
    gradient += WEIGHT_DECAY * full.parameters
    old, mixed = hessian[np.ix_(~is_new, ~is_new)], hessian[np.ix_(~is_new, is_new)]
    damping = WEIGHT_DECAY + 1e-9 * old.diagonal().max()
    explained = cho_solve(cho_factor(old + damping * np.eye(len(old))), mixed)
    whole = hessian.diagonal()[is_new]
    fresh = whole - (mixed * explained).sum(axis=0)
    slopes = gradient[is_new] - explained.T @ gradient[~is_new]
    gains: Array = np.where(fresh > MIN_FRESH * whole, slopes**2 / (2 * np.maximum(fresh, 1e-300)), 0.0)
    return gains
