"""Connections that a fitted graph can do without, by the Optimal Brain Surgeon with backtracking.

The saliency is from Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon" (1993):
what the loss rises by when a weight is set to 0 and all others make up for it, to second order. That whole batches go,
how large they are and when to step back is our design.
"""
# P parameters, E edges, Q edges to remove

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from modicum.graphs.activations import Array
from modicum.graphs.fitting import WEIGHT_DECAY, Fit, curvature, fit
from modicum.graphs.graph import Graph, Indices
from modicum.graphs.task import Task

MAX_SHARE = 0.2  # of the edges, in one batch
SINGLES = 4  # edges tried one by one when no batch goes


@dataclass(frozen=True)
class Surgeon:
    """The inverse curvature of a fitted graph, which tells what each edge is worth.

    Attributes:
        graph: The fitted graph.
        inverse: Of the Gauss-Newton matrix of half the loss, (P, P).
    """

    graph: Graph
    inverse: Array

    @classmethod
    def of(cls, graph: Graph, task: Task) -> "Surgeon":
        """Measures the curvature of a graph on the points that it was fitted to."""
        hessian, _ = curvature(graph, task.points)
        damped = hessian + (WEIGHT_DECAY + 1e-9 * hessian.diagonal().max()) * np.eye(len(hessian))
        return cls(graph, cho_solve(cho_factor(damped), np.eye(len(hessian))))

    def saliencies(self) -> Array:
        """Predicted rise of the loss by the loss of each edge, (E,): ``w^2 / [H^-1]_qq``."""
        saliencies: Array = self.graph.weights**2 / self.inverse.diagonal()[: self.graph.num_edges]
        return saliencies

    def without(self, edges: Indices) -> Graph:
        """The graph without some edges (Q,), the other parameters moved to where the loss is predicted to be least."""
        parameters = np.concatenate([self.graph.weights, self.graph.biases])
        block = self.inverse[np.ix_(edges, edges)]
        parameters -= self.inverse[:, edges] @ np.linalg.solve(block, parameters[edges])
        num_edges = self.graph.num_edges
        moved = self.graph.with_parameters(parameters[:num_edges], parameters[num_edges:])
        return moved.without_edges(edges).canonical()


def prune(start: Fit, task: Task) -> Iterator[Fit]:
    """Smaller and smaller graphs, each within the bound, until no single edge can go.

    Args:
        start: A graph that keeps the bound, fitted until its gradient is small: saliencies mean nothing before.
        task: The points and the bound.

    Yields:
        Every smaller graph that keeps the bound; the last is locally minimal.
    """
    current: Fit | None = start
    while current is not None and current.graph.num_edges > 0:
        surgeon = Surgeon.of(current.graph, task)
        current = _remove_batch(surgeon, current, task) or _remove_one(surgeon, task)
        if current is not None:
            yield current


def _remove_batch(surgeon: Surgeon, current: Fit, task: Task) -> Fit | None:
    """Removes at once what is predicted to cost half of the room that the bound leaves; a third of it if that fails."""
    saliencies = surgeon.saliencies()
    order = np.argsort(saliencies)
    room = 0.5 * (task.max_loss - task.judged_loss(current))
    size = min(int(np.searchsorted(np.cumsum(saliencies[order]), room)), int(MAX_SHARE * len(order)) + 1)
    while size > 1:
        effort = task.effort(25, slack=0.9)
        fitted = fit(surgeon.without(order[:size]), task.points, effort)
        if task.holds(fitted):
            return fitted
        size //= 3
    return None


def _remove_one(surgeon: Surgeon, task: Task) -> Fit | None:
    effort = task.effort(50, slack=0.98)
    for edge in np.argsort(surgeon.saliencies())[:SINGLES]:
        fitted = fit(surgeon.without(np.array([edge])), task.points, effort)
        if task.holds(fitted):
            return fitted
    return None
