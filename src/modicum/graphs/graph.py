"""A directed acyclic graph of neurons as a value: who feeds whom, with which weights, biases and activations.

The idea of searching over arbitrary oriented graphs instead of layers is from Khashin and Shemyakova, "Growing an
architecture for a neural network" (2021). How a graph is stored, counted and brought into canonical form is our design;
so is the restriction to graphs without cycles.
"""
# I inputs, H hidden neurons, O outputs, M = I + H + O nodes, E edges

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from modicum.graphs.activations import ACTIVATIONS, ActivationName, Array
from modicum.graphs.graph_checks import check_graph

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Complexity = Literal["parameters", "edges", "macs"]


class Edge(NamedTuple):
    """A connection from one node to a later one."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, eq=False)
class Graph:
    """Neurons in topological order: inputs 0..I-1, then hidden neurons, then outputs.

    A hidden neuron is ``activation(bias + sum of weight * source)``; an output is the sum itself. Edges go from a lower
    to a higher number, never into an input and never out of an output; they may skip any number of levels. The arrays
    are copied and made read-only.

    Args:
        num_inputs: I, at least 1.
        num_outputs: O, at least 1.
        activations: One name per hidden neuron, (H,).
        sources: Node that each edge leaves, (E,).
        targets: Node that each edge enters, (E,).
        weights: One per edge, (E,), finite.
        biases: Of the hidden neurons, then of the outputs, (H + O,), finite.
        without_bias: Hidden neurons and outputs that have none, by number; their entries of ``biases`` are 0, are not
            fitted and do not count.

    Raises:
        ValueError: If the arrays do not fit together, an edge goes backwards, twice, into an input or out of an output,
            an activation is unknown, or a number is not finite or stands where no bias is.

    Example:
        >>> graph = Graph.layered((2, 3, 1))
        >>> graph.num_hidden, graph.num_parameters  # 9 weights, 4 biases
        (3, 13)
    """

    num_inputs: int
    num_outputs: int
    activations: tuple[ActivationName, ...]
    sources: Indices
    targets: Indices
    weights: Array
    biases: Array
    without_bias: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "activations", tuple(self.activations))
        object.__setattr__(self, "without_bias", tuple(sorted(int(node) for node in self.without_bias)))
        for name, dtype in (("sources", np.int64), ("targets", np.int64), ("weights", float), ("biases", float)):
            object.__setattr__(self, name, _frozen(getattr(self, name), name, dtype))
        check_graph(self)

    @classmethod
    def linear(cls, num_inputs: int, num_outputs: int = 1) -> Self:
        """Returns a linear regression: every input feeds every output, all weights and biases 0."""
        return cls.layered((num_inputs, num_outputs))

    @classmethod
    def layered(
        cls, sizes: Sequence[int], activation: ActivationName = "tanh", *, rng: np.random.Generator | None = None
    ) -> Self:
        """Returns a fully connected network in layers.

        Args:
            sizes: Inputs, hidden neurons of each layer, outputs; two numbers at least.
            activation: Activation of all hidden neurons.
            rng: Where given, weights are drawn from a normal distribution with variance 1 / fan-in and biases from one
                with variance 1/4; else all are 0.
        """
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be at least two whole numbers above 0, got {tuple(sizes)}")
        starts = np.cumsum([0, *sizes])
        pairs = [
            (source, target)
            for layer in range(len(sizes) - 1)
            for target in range(starts[layer + 1], starts[layer + 2])
            for source in range(starts[layer], starts[layer + 1])
        ]
        sources, targets = np.array(pairs).T
        num_hidden = sum(sizes[1:-1])
        weights, biases = np.zeros(len(pairs)), np.zeros(num_hidden + sizes[-1])
        if rng is not None:
            fan_in = np.bincount(targets)[targets]
            weights = rng.standard_normal(len(pairs)) / np.sqrt(fan_in)
            biases = rng.standard_normal(len(biases)) / 2
        return cls(sizes[0], sizes[-1], (activation,) * num_hidden, sources, targets, weights, biases)

    @property
    def num_hidden(self) -> int:
        """H, the number of hidden neurons."""
        return len(self.activations)

    @property
    def num_nodes(self) -> int:
        """M = I + H + O."""
        return self.num_inputs + self.num_hidden + self.num_outputs

    @property
    def first_output(self) -> int:
        """The number of the first output node, I + H."""
        return self.num_inputs + self.num_hidden

    @property
    def num_edges(self) -> int:
        """E, the number of connections."""
        return len(self.sources)

    @property
    def num_parameters(self) -> int:
        """P, weights and biases together, at most E + H + O."""
        return len(self.weights) + len(self.biases) - len(self.without_bias)

    @cached_property
    def has_bias(self) -> Flags:
        """Which hidden neurons and outputs have a bias, (H + O,)."""
        has_bias = np.ones(len(self.biases), dtype=bool)
        has_bias[np.array(self.without_bias, dtype=np.int64) - self.num_inputs] = False
        return _frozen(has_bias, "has_bias", np.bool_)

    @property
    def parameters(self) -> Array:
        """The weights, then the biases that there are, (P,)."""
        return np.concatenate([self.weights, self.biases[self.has_bias]])

    def complexity(self, measure: Complexity = "parameters") -> int:
        """Returns the size of the graph.

        Args:
            measure: "parameters" counts weights and biases, "edges" the connections alone, "macs" the multiply-adds of
                one evaluation: one per edge and what the activations cost (see `modicum.graphs.activations`).

        Raises:
            ValueError: If the measure is unknown.
        """
        if measure == "parameters":
            return self.num_parameters
        if measure == "edges":
            return self.num_edges
        if measure == "macs":
            return self.num_edges + sum(ACTIVATIONS[name].macs for name in self.activations)
        raise ValueError(f"complexity must be one of {', '.join(get_args(Complexity))}, got {measure!r}")

    @cached_property
    def levels(self) -> Indices:
        """Length of the longest path that leads to each node, (M,); inputs and nodes without sources have 0."""
        levels = np.zeros(self.num_nodes, dtype=np.int64)
        for edge in np.argsort(self.targets, kind="stable"):
            target = self.targets[edge]
            levels[target] = max(levels[target], levels[self.sources[edge]] + 1)
        return _frozen(levels, "levels", np.int64)

    @property
    def depth(self) -> int:
        """The longest path from an input to an output, in edges; 1 for linear regression."""
        return int(self.levels.max())

    def same_structure(self, other: "Graph") -> bool:
        """Tells whether both have equal nodes, activations, edges and biases in the same order, whatever the values."""
        sizes = (self.num_inputs, self.num_outputs, self.activations, self.without_bias)
        return (
            sizes == (other.num_inputs, other.num_outputs, other.activations, other.without_bias)
            and np.array_equal(self.sources, other.sources)
            and np.array_equal(self.targets, other.targets)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return (
            self.same_structure(other)
            and np.array_equal(self.weights, other.weights)
            and np.array_equal(self.biases, other.biases)
        )

    __hash__ = None  # type: ignore[assignment]  # equality compares arrays of weights; nobody should key on them

    def with_parameters(self, parameters: ArrayLike) -> Self:
        """Returns the same structure with other `parameters` (P,).

        Raises:
            ValueError: If their number differs, or they are not finite.
        """
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape != (self.num_parameters,):
            raise ValueError(f"a graph of {self.num_parameters} parameters needs as many, got shape {values.shape}")
        biases = np.zeros(len(self.biases))
        biases[self.has_bias] = values[self.num_edges :]
        return replace(self, weights=values[: self.num_edges], biases=biases)

    def rescaled(
        self, centre: ArrayLike, scale: ArrayLike, out_centre: ArrayLike = 0, out_scale: ArrayLike = 1
    ) -> Self:
        """Returns the graph on raw inputs that equals this one on standardised inputs.

        Its outputs are ``out_centre + out_scale * self((inputs - centre) / scale)``. Structure and size stay but for
        one thing: a node without a bias gets one where a centre other than 0 has to go into it.

        Args:
            centre: One number per input, (I,), or one for all.
            scale: The same, above 0.
            out_centre: One number per output, (O,), or one for all.
            out_scale: The same.
        """
        centre, scale = (np.broadcast_to(np.asarray(v, float), self.num_inputs) for v in (centre, scale))
        shift, stretch = (np.broadcast_to(np.asarray(v, float), self.num_outputs) for v in (out_centre, out_scale))
        weights, biases = self.weights.copy(), self.biases.copy()
        outer = self.sources < self.num_inputs
        weights[outer] /= scale[self.sources[outer]]
        np.subtract.at(biases, self.targets[outer] - self.num_inputs, weights[outer] * centre[self.sources[outer]])
        has_bias = self.has_bias | self.feeds(centre != 0)
        has_bias[self.num_hidden :] |= shift != 0
        last = self.targets >= self.first_output
        weights[last] *= stretch[self.targets[last] - self.first_output]
        biases[self.num_hidden :] = shift + stretch * biases[self.num_hidden :]
        return replace(self, weights=weights, biases=biases, without_bias=self._missing(has_bias))

    @property
    def used_inputs(self) -> Flags:
        """Which inputs (I,) some edge leaves."""
        used = np.zeros(self.num_inputs, dtype=bool)
        used[self.sources[self.sources < self.num_inputs]] = True
        return used

    def feeds(self, inputs: Flags) -> Flags:
        """Tells which hidden neurons and outputs at least one of the chosen inputs (I,) feeds directly, (H + O,)."""
        fed = np.zeros(len(self.biases), dtype=bool)
        outer = np.flatnonzero(self.sources < self.num_inputs)
        fed[self.targets[outer[inputs[self.sources[outer]]]] - self.num_inputs] = True
        return fed

    def without(self, parameters: Indices) -> Self:
        """Returns the graph without some edges and biases, given by their positions in `parameters`.

        Neurons that nothing feeds any more, or that lead nowhere, stay until `canonical` looks at them.
        """
        kept = np.ones(self.num_parameters, dtype=bool)
        kept[parameters] = False
        edges, has_bias = kept[: self.num_edges], self.has_bias.copy()
        has_bias[has_bias] = kept[self.num_edges :]
        return replace(
            self,
            sources=self.sources[edges],
            targets=self.targets[edges],
            weights=self.weights[edges],
            biases=np.where(has_bias, self.biases, 0.0),
            without_bias=self._missing(has_bias),
        )

    def with_neuron(self, position: int, activation: ActivationName, bias: float, edges: Sequence[Edge]) -> Self:
        """Returns the graph with one more hidden neuron; nodes from ``position`` on move up by one.

        Args:
            position: Its number, from I (first of the hidden neurons) to I + H (last of them).
            activation: Its activation.
            bias: Its bias.
            edges: Out of it and into it, as numbered when it is in place.
        """
        index = position - self.num_inputs
        more = np.array([(edge.source, edge.target) for edge in edges], dtype=np.int64).reshape(-1, 2)
        return replace(
            self,
            activations=(*self.activations[:index], activation, *self.activations[index:]),
            sources=np.concatenate([self.sources + (self.sources >= position), more[:, 0]]),
            targets=np.concatenate([self.targets + (self.targets >= position), more[:, 1]]),
            weights=np.concatenate([self.weights, [edge.weight for edge in edges]]),
            biases=np.insert(self.biases, index, bias),
            without_bias=tuple(node + (node >= position) for node in self.without_bias),
        )

    def canonical(self) -> Self:
        """Returns the same function without neurons that have no effect, in a fixed order.

        Hidden neurons that lead nowhere go; those that nothing feeds are constants and move into the biases of their
        targets; until neither is left. Hidden neurons are sorted by level, edges by level, target and source.
        """
        alive, biases, has_bias = np.ones(self.num_edges, dtype=bool), self.biases.copy(), self.has_bias.copy()
        kept = np.ones(self.num_nodes, dtype=bool)
        for node in range(self.num_inputs, self.first_output):  # in order, so that constants travel all the way
            if not (alive & (self.targets == node)).any():
                self._fold_constant(node, alive, biases, has_bias)
                kept[node] = False
        for node in reversed(range(self.num_inputs, self.first_output)):
            if kept[node] and not (alive & (self.sources == node)).any():
                alive &= self.targets != node
                kept[node] = False
        folded = replace(self, biases=biases, without_bias=self._missing(has_bias))
        return folded._select(kept, alive)._sorted()

    def _missing(self, has_bias: Flags) -> tuple[int, ...]:
        return tuple((np.flatnonzero(~has_bias) + self.num_inputs).tolist())

    def _fold_constant(self, node: int, alive: Flags, biases: Array, has_bias: Flags) -> None:
        index = node - self.num_inputs
        value = ACTIVATIONS[self.activations[index]].value(biases[index])
        outgoing = np.flatnonzero(alive & (self.sources == node))
        shift, places = self.weights[outgoing] * value, self.targets[outgoing] - self.num_inputs
        biases[places] += shift  # one edge per target
        has_bias[places] |= shift != 0
        alive[outgoing] = False

    def _select(self, kept: Flags, alive: Flags) -> Self:
        number = np.cumsum(kept) - 1
        inner = kept[self.num_inputs :]
        activations = tuple(a for a, k in zip(self.activations, inner[: self.num_hidden], strict=True) if k)
        return replace(
            self,
            activations=activations,
            sources=number[self.sources[alive]],
            targets=number[self.targets[alive]],
            weights=self.weights[alive],
            biases=self.biases[inner],
            without_bias=tuple(number[[node for node in self.without_bias if kept[node]]].tolist()),
        )

    def _sorted(self) -> Self:
        inner = self.levels[self.num_inputs : self.first_output]
        by_level = np.argsort(inner, kind="stable")
        order = np.concatenate([by_level, np.arange(self.num_hidden, self.num_hidden + self.num_outputs)])
        number = np.arange(self.num_nodes)
        number[self.num_inputs + order] = np.arange(self.num_inputs, self.num_nodes)
        sources, targets = number[self.sources], number[self.targets]
        edges = np.lexsort((sources, targets))  # hidden neurons stand by level already, outputs last
        return replace(
            self,
            activations=tuple(self.activations[i] for i in by_level),
            sources=sources[edges],
            targets=targets[edges],
            weights=self.weights[edges],
            biases=self.biases[order],
            without_bias=tuple(number[list(self.without_bias)].tolist()),
        )


def _frozen(values: ArrayLike, name: str, dtype: DTypeLike) -> NDArray[Any]:
    array = np.array(values, dtype=dtype)
    if array.ndim != 1:
        raise ValueError(f"{name} must be a row of numbers, got shape {array.shape}")
    array.flags.writeable = False
    return array
