"""Weights and biases of a fixed graph by Levenberg-Marquardt, the exact second-order method for small networks.

Levenberg (1944), Marquardt (1963). Two things differ from the textbook. The Gauss-Newton matrix is accumulated over
chunks of points, so that memory does not grow with parameters times points. And while the gradient takes all points,
the matrix takes a fixed random part of them (a sub-sampled Newton method; Roosta-Khorasani and Mahoney, 2019): the
fixed points stay the same, and the matrix, which costs parameters^2 x points, stops dominating.
"""
# P parameters, O outputs, N points, C points of the matrix, K residuals per point

import time
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dposv

from modicum.graphs.activations import Array
from modicum.graphs.evaluation import CHUNK_POINTS, Schedule, evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.losses import Loss

POINTS_PER_PARAMETER = 64  # of the matrix; with 24 the steps are erratic, and what they save goes into more of them
MAX_WEIGHT = 50.0  # beyond it tanh is a step and the matrix singular
WEIGHT_DECAY = 1e-6


@dataclass(frozen=True)
class Points:
    """What a graph is fitted to, as rows of numbers, in random order.

    Attributes:
        inputs: (I, N).
        targets: (O, N).
        loss: What is minimised.
    """

    inputs: Array
    targets: Array
    loss: Loss

    @classmethod
    def shuffled(cls, inputs: Array, targets: Array, loss: Loss, rng: np.random.Generator) -> "Points":
        """Returns tables (N, I) and (N, O) as points in random order; any first part of them is a random sample."""
        order = rng.permutation(len(inputs))
        return cls(np.ascontiguousarray(inputs[order].T), np.ascontiguousarray(targets[order].T), loss)

    def part(self, first: int, last: int) -> "Points":
        """Returns the points from ``first`` to before ``last``."""
        return Points(self.inputs[:, first:last].copy(), self.targets[:, first:last].copy(), self.loss)

    @property
    def num_points(self) -> int:
        """N."""
        return int(self.inputs.shape[1])


@dataclass(frozen=True)
class Effort:
    """When a fit ends.

    Attributes:
        iterations: Steps at most.
        min_gain: Ends when the last four steps together lowered the objective by less than this share of it.
        stop_at: Ends when the loss is at most this.
        abandon_above: Ends when the loss, at its present rate of fall, would still be above this after the last step.
        deadline: CPU time of the process, in seconds as `time.process_time` gives it, at which it ends by
            `OutOfTimeError`.
    """

    iterations: int
    min_gain: float = 1e-4
    stop_at: float = 0.0
    abandon_above: float = np.inf
    deadline: float = np.inf


class OutOfTimeError(Exception):
    """The CPU time that was allowed is spent; whoever set the limit catches this and keeps what it has."""


def check_time(deadline: float) -> None:
    """Raises OutOfTimeError once the process has spent ``deadline`` seconds of CPU time."""
    if time.process_time() >= deadline:
        raise OutOfTimeError


@dataclass(frozen=True)
class Fit:
    """A fitted graph, its mean loss over the points, and the steps it took."""

    graph: Graph
    loss: float
    iterations: int


def fit(graph: Graph, points: Points, effort: Effort) -> Fit:
    """Lowers the loss of a graph on some points by changing its weights and biases.

    Minimises ``loss / 2 + WEIGHT_DECAY / 2 * |parameters|^2`` for a loss as `modicum.graphs.losses` defines it.

    Args:
        graph: Where to start.
        points: With the graph's numbers of inputs and outputs.
        effort: When to end.

    Returns:
        The graph of the same structure with the least objective found, never above that of the start.

    Raises:
        OutOfTimeError: At the effort's deadline.
    """
    return _Descent(graph, points).run(effort)


def curvature(graph: Graph, points: Points) -> tuple[Array, Array]:
    """Returns the full Gauss-Newton matrix (P, P) and the gradient (P,) of half the loss over all points."""
    descent = _Descent(graph, points, matrix_points=points.num_points)
    gradient, matrix = descent.linearise()
    return np.tril(matrix) + np.tril(matrix, -1).T, gradient


def mean_loss(graph: Graph, points: Points) -> float:
    """Returns the mean loss of a graph over some points."""
    outputs = evaluate(graph, points.inputs.T).T
    return points.loss.total(outputs, points.targets) / points.num_points


class _Descent:
    """The state of one fit."""

    def __init__(self, graph: Graph, points: Points, matrix_points: int | None = None) -> None:
        self.graph, self.points = graph, points
        self.schedule = Schedule(graph)
        self.values = self.schedule.new_values(points.inputs)
        self.sums = np.empty((graph.num_hidden, points.num_points))
        enough = max(512, POINTS_PER_PARAMETER * graph.num_parameters)
        self.matrix_points = min(points.num_points, matrix_points or enough)
        self.jacobian = np.empty((graph.num_parameters, min(self.matrix_points, CHUNK_POINTS)))  # 2x as fast as afresh
        self.parameters = graph.parameters
        self.loss = self.try_parameters(self.parameters)

    def try_parameters(self, parameters: Array) -> float:
        """Returns the mean loss with these parameters; keeps the values for `linearise`."""
        self.matrix = self.schedule.matrix(parameters)
        total = 0.0
        for part in self._chunks(self.points.num_points):
            outputs = self.schedule.forward(self.matrix, self.values[:, part], self.sums[:, part])
            total += self.points.loss.total(outputs, self.points.targets[:, part])
        return total / self.points.num_points

    def linearise(self) -> tuple[Array, Array]:
        """Returns the gradient (P,) over all points and the lower half of the Gauss-Newton matrix over the first C."""
        schedule, loss = self.schedule, self.points.loss
        outputs = self.values[schedule.first_row + schedule.num_hidden :]
        sources = self.values[: schedule.first_row + schedule.num_hidden]
        products = np.zeros(self.matrix.shape)
        for part in self._chunks(self.points.num_points):
            values, sums = self.values[:, part], self.sums[:, part]
            seeds = loss.slope(outputs[:, part], self.points.targets[:, part])
            products += schedule.adjoint(self.matrix, values, sums, seeds) @ sources[:, part].T
        hessian = np.zeros((len(self.parameters),) * 2, order="F")
        for part in self._chunks(self.matrix_points):
            values, sums = self.values[:, part], self.sums[:, part]
            for seeds in loss.curvature_roots(outputs[:, part]):
                slopes = schedule.adjoint(self.matrix, values, sums, seeds)
                jacobian = schedule.jacobian(values, slopes, out=self.jacobian[:, : values.shape[1]])
                dsyrk(1 / self.matrix_points, jacobian.T, trans=1, lower=1, beta=1.0, c=hessian, overwrite_c=1)
        return schedule.entries(products) / self.points.num_points, hessian

    def run(self, effort: Effort) -> Fit:
        damping, history = 1e-2, [self._objective()]
        iteration = 0
        while iteration < effort.iterations and not self._is_over(history, iteration, effort):
            check_time(effort.deadline)
            iteration += 1
            found = self._step(damping)
            if found is None:
                break
            damping = found
            history.append(self._objective())
        return Fit(self.graph.with_parameters(self.parameters), self.loss, iteration)

    def _objective(self) -> float:
        return self.loss + WEIGHT_DECAY * float(self.parameters @ self.parameters)

    def _is_over(self, history: list[float], iteration: int, effort: Effort) -> bool:
        if self.loss <= effort.stop_at:
            return True
        if len(history) <= 4:
            return False
        gain = history[-5] - history[-1]
        if gain < effort.min_gain * history[-1]:
            return True
        rest = effort.iterations - iteration
        return len(history) > 8 and self.loss - gain / 4 * rest > effort.abandon_above

    def _step(self, damping: float) -> float | None:
        """Moves to parameters with a lower objective and returns the next damping; None if it finds no such step."""
        gradient, hessian = self.linearise()
        gradient += WEIGHT_DECAY * self.parameters
        diagonal = hessian.diagonal().copy()
        damped = np.maximum(diagonal, 1e-3 * diagonal.max())  # else saturated neurons, which have no slope, fly off
        current = self._objective()
        for _ in range(10):
            np.fill_diagonal(hessian, diagonal + damping * damped + WEIGHT_DECAY)
            _, step, info = dposv(hessian, gradient, lower=1)
            if info == 0:
                trial = np.clip(self.parameters - step, -MAX_WEIGHT, MAX_WEIGHT)
                loss = self.try_parameters(trial)
                if loss + WEIGHT_DECAY * float(trial @ trial) < current:
                    self.parameters, self.loss = trial, loss
                    return max(damping / 5, 1e-9)
            damping *= 4
        return None

    @staticmethod
    def _chunks(num_points: int) -> list[slice]:
        return [slice(first, min(first + CHUNK_POINTS, num_points)) for first in range(0, num_points, CHUNK_POINTS)]
