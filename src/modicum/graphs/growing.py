"""New neurons for a graph: candidates anywhere in the order, trained to explain the residual where they would feed in.

Candidate training is from Fahlman and Lebiere, "The Cascade-Correlation learning architecture" (1990), generalised from
the end of the order to any position and from correlation to the Gauss-Newton gain at any target; both are our design.
"""
# I inputs, O outputs, N points of the sample, S possible sources, C candidates

from dataclasses import dataclass

import numpy as np

from modicum.graphs.activations import ACTIVATIONS, ActivationName, Array
from modicum.graphs.evaluation import Schedule
from modicum.graphs.graph import Edge, Graph
from modicum.graphs.levenberg_marquardt import Points

SAMPLE_POINTS = 1500
STEP_SIZE = 0.05


@dataclass(frozen=True)
class Candidates:
    """How candidates are trained.

    Attributes:
        count: How many start, with weights of scale 0.3, 1 and 3.
        steps: Of Adam.
        activations: One is drawn for each new neuron.
    """

    count: int = 24
    steps: int = 80
    activations: tuple[ActivationName, ...] = ("tanh",)


def grow(
    graph: Graph, points: Points, candidates: Candidates, rng: np.random.Generator, *, at_end: bool = False
) -> Graph:
    """Returns the graph with one more neuron, still to be fitted: the best of some candidates at a random place.

    Args:
        graph: Fitted to the points; canonical.
        points: What it was fitted to; a first part of them is looked at.
        candidates: How many, and how long each is trained.
        rng: Draws place, activation and weights.
        at_end: Whether the place is the end of the order, with an output as target.
    """
    sample = Sample(graph, points)
    position = graph.first_output if at_end else int(rng.integers(graph.num_inputs, graph.first_output + 1))
    output = graph.first_output + int(rng.integers(graph.num_outputs))
    target = output
    if not at_end and position < graph.first_output and rng.random() < 0.5:
        target = int(rng.integers(position, graph.first_output))
    activation = candidates.activations[int(rng.integers(len(candidates.activations)))]
    neuron = _Trainer(sample.node_values[:position], sample.signal(target), activation).best(candidates, rng)
    return _insert(graph, sample, neuron, position, target)


@dataclass(frozen=True)
class Signal:
    """What a target would like to be fed with.

    Attributes:
        wanted: Falling slope of the loss by the target's sum, (N,).
        curvature: Second derivative by it, (N,), at least 0.
    """

    wanted: Array
    curvature: Array

    def centred(self, values: Array) -> Array:
        """Returns rows of values (C, N) without the part that a change of the target's bias could supply."""
        mean = values @ self.curvature / self.curvature.sum()
        centred: Array = values - mean[:, None]
        return centred

    def best_weights(self, centred: Array) -> Array:
        """Returns the weight (C,) at which each row of centred values (C, N) helps the target most, to second order."""
        weights: Array = centred @ self.wanted / (centred**2 @ self.curvature + 1e-12)
        return weights

    def gains(self, centred: Array) -> Array:
        """Returns the predicted fall of half the summed loss, (C,), if each row feeds the target at its best weight."""
        return self.best_weights(centred) * (centred @ self.wanted) / 2


class Sample:
    """Values of all nodes of a graph on some points, and what each computed node would like to be fed with."""

    def __init__(self, graph: Graph, points: Points) -> None:
        schedule = Schedule(graph)
        inputs, targets = points.inputs[:, :SAMPLE_POINTS], points.targets[:, :SAMPLE_POINTS]
        matrix = schedule.matrix(graph.parameters)
        values, sums = schedule.new_values(inputs), np.empty((graph.num_hidden, inputs.shape[1]))
        outputs = schedule.forward(matrix, values, sums)
        self.num_inputs = graph.num_inputs
        self.node_values = values[schedule.rows]  # (M, N)
        order = schedule.rows[graph.num_inputs :] - schedule.first_row
        self.wanted = -schedule.adjoint(matrix, values, sums, points.loss.slope(outputs, targets))[order]
        roots = points.loss.curvature_roots(outputs)
        squares = [schedule.adjoint(matrix, values, sums, root)[order] ** 2 for root in roots]
        self.curvature = np.sum(squares, axis=0) + 1e-12  # a neuron without any slope is asked for nothing

    def signal(self, target: int) -> Signal:
        """Returns the signal that a computed node would need to lower the loss."""
        return Signal(self.wanted[target - self.num_inputs], self.curvature[target - self.num_inputs])


@dataclass(frozen=True)
class _Neuron:
    """A trained candidate: weights of its sources, bias, activation, its values (N,) and the weight to its target."""

    weights: Array
    bias: float
    activation: ActivationName
    values: Array
    outgoing: float


class _Trainer:
    def __init__(self, sources: Array, signal: Signal, activation: ActivationName) -> None:
        self.centre = sources.mean(axis=1)
        spread = sources.std(axis=1)
        self.scale = np.where(spread > 1e-6, spread, 1.0)
        self.sources = (sources - self.centre[:, None]) / self.scale[:, None]
        self.signal, self.name, self.activation = signal, activation, ACTIVATIONS[activation]

    def best(self, candidates: Candidates, rng: np.random.Generator) -> _Neuron:
        """Trains all candidates at once with Adam (Kingma and Ba, 2015) and returns the one with the highest gain."""
        scale = np.resize([0.3, 1.0, 3.0], candidates.count)[:, None]
        weights = rng.standard_normal((candidates.count, len(self.sources) + 1)) * scale
        first, second = np.zeros_like(weights), np.zeros_like(weights)
        for step in range(1, candidates.steps + 1):
            slope = self._slope(weights)
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            root = np.sqrt(second / (1 - 0.999**step)) + 1e-12
            weights += STEP_SIZE * first / (1 - 0.9**step) / root
        values = self.activation.value(self._sums(weights))
        centred = self.signal.centred(values)
        best = int(np.argmax(self.signal.gains(centred)))
        incoming = weights[best, :-1] / self.scale
        bias = float(weights[best, -1] - incoming @ self.centre)
        return _Neuron(incoming, bias, self.name, values[best], float(self.signal.best_weights(centred)[best]))

    def _sums(self, weights: Array) -> Array:
        sums: Array = weights[:, :-1] @ self.sources + weights[:, -1:]
        return sums

    def _slope(self, weights: Array) -> Array:
        """Returns the slopes of the gains with respect to the weights, (C, S + 1)."""
        signal, sums = self.signal, self._sums(weights)
        values = self.activation.value(sums)
        centred = signal.centred(values)
        share = signal.best_weights(centred)[:, None]
        unmet = signal.wanted - signal.curvature * (signal.wanted.sum() / signal.curvature.sum() + share * centred)
        by_sums = share * unmet * self.activation.slope(sums, values)
        return np.hstack([by_sums @ self.sources.T, by_sums.sum(axis=1, keepdims=True)])


def _insert(graph: Graph, sample: Sample, neuron: _Neuron, position: int, target: int) -> Graph:
    """Feeds the target at half the best weight, so that a fit has a slope on all of it, and two more nodes at 0."""
    limit = 10.0  # a nearly constant candidate asks for an enormous weight
    edges = [Edge(source, position, float(weight)) for source, weight in enumerate(neuron.weights)]
    edges.append(Edge(position, target + 1, float(np.clip(neuron.outgoing / 2, -limit, limit))))
    later = np.array([node for node in range(position, graph.num_nodes) if node != target], dtype=np.int64)
    rows = later - graph.num_inputs
    pull = np.abs(sample.wanted[rows] @ neuron.values) / np.sqrt(sample.curvature[rows].sum(axis=1) + 1e-12)
    edges += [Edge(position, int(node) + 1, 0.0) for node in later[np.argsort(-pull)[:2]]]
    return graph.with_neuron(position, neuron.activation, neuron.bias, edges).canonical()
