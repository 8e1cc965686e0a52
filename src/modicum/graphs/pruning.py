"""Connections and biases that a fitted graph can do without, by the Optimal Brain Surgeon with backtracking.

The saliency is from Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon" (1993):
what the loss rises by when a weight is set to 0 and all others make up for it, to second order. That whole batches go,
how large they are and when to step back is our design.
"""
# P parameters, Q of them to remove

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from modicum.graphs.activations import Array
from modicum.graphs.graph import Flags, Graph, Indices
from modicum.graphs.levenberg_marquardt import WEIGHT_DECAY, Fit, check_time, curvature, fit
from modicum.graphs.task import Task

MAX_SHARE = 0.2  # of the parameters, in one batch


@dataclass(frozen=True)
class Care:
    """What is tried before a graph counts as minimal.

    Attributes:
        singles: Parameters tried one by one when no batch goes, those of least saliency.
        iterations: Steps of a fit without one.
    """

    singles: int
    iterations: int


USUAL = Care(4, 50)
LAST = Care(10**6, 200)  # all


@dataclass(frozen=True)
class Surgeon:
    """The inverse curvature of a fitted graph, which gives the saliency of each edge and bias.

    Attributes:
        graph: The fitted graph.
        inverse: Of the Gauss-Newton matrix of half the loss, (P, P).
        is_free: Which parameters may go, (P,).
    """

    graph: Graph
    inverse: Array
    is_free: Flags

    @classmethod
    def of(cls, graph: Graph, task: Task) -> "Surgeon":
        """Measures the curvature of a graph on the points that it was fitted to."""
        hessian, _ = curvature(graph, task.points)
        damped = hessian + (WEIGHT_DECAY + 1e-9 * hessian.diagonal().max()) * np.eye(len(hessian))
        return cls(graph, cho_solve(cho_factor(damped), np.eye(len(hessian))), task.is_free(graph))

    def saliencies(self) -> Array:
        """Returns the predicted rise of the loss without each parameter, (P,), ``w^2 / [H^-1]_qq``; inf if fixed."""
        saliencies: Array = np.where(self.is_free, self.graph.parameters**2 / self.inverse.diagonal(), np.inf)
        return saliencies

    def without(self, places: Indices) -> Graph:
        """Returns the graph without some parameters (Q,), the others moved to the predicted minimum of the loss."""
        parameters = self.graph.parameters
        block = self.inverse[np.ix_(places, places)]
        parameters -= self.inverse[:, places] @ np.linalg.solve(block, parameters[places])
        return self.graph.with_parameters(parameters).without(places).canonical()


def prune(start: Fit, task: Task, care: Care = USUAL) -> Iterator[Fit]:
    """Yields smaller and smaller graphs within the bound until no single parameter can be removed.

    Args:
        start: A graph that keeps the bound, fitted to a small gradient: saliencies are not valid before.
        task: The points and the bound.
        care: What to try before stopping.

    Yields:
        Every smaller graph that keeps the bound; the last is locally minimal.
    """
    current: Fit | None = start
    while current is not None and current.graph.num_edges > 0:
        check_time(task.deadline)
        surgeon = Surgeon.of(current.graph, task)
        current = _remove_batch(surgeon, current, task) or _remove_one(surgeon, task, care)
        if current is not None:
            yield current


def _remove_batch(surgeon: Surgeon, current: Fit, task: Task) -> Fit | None:
    """Removes parameters with a predicted cost of half the room left by the bound; a third of them if that fails."""
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


def _remove_one(surgeon: Surgeon, task: Task, care: Care) -> Fit | None:
    effort = task.effort(care.iterations, slack=0.98)
    saliencies = surgeon.saliencies()
    for place in np.argsort(saliencies)[: min(care.singles, np.count_nonzero(surgeon.is_free))]:
        fitted = fit(surgeon.without(np.array([place])), task.points, effort)
        if task.holds(fitted):
            return fitted
    return None
