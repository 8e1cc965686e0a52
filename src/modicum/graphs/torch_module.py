"""A graph of neurons as a torch network: evaluated level by level, in double precision, trainable and storable."""

# N rows, F inputs, H hidden neurons, O outputs, E edges
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.graphs.activations import ActivationName, Array
from modicum.graphs.encoding import Encoding
from modicum.graphs.graph import Graph

FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sin": torch.sin,
    "silu": F.silu,
    "softplus": F.softplus,
}


class GraphNetwork(nn.Module):
    """A graph with what its inputs and outputs mean; parameters are its weights and biases, nothing else.

    Args:
        graph: On raw inputs; its structure is fixed, its weights are copied.
        encoding: Of its inputs and outputs.
        centre: Mean of each input over the training points, (F,); None is 0.
        spread: Their standard deviations, (F,), by which a weight is judged small or large; None is 1.
    """

    storage_name = "graphs"
    centre: Tensor  # (F,)
    spread: Tensor  # (F,)

    def __init__(
        self, graph: Graph, encoding: Encoding, *, centre: Array | None = None, spread: Array | None = None
    ) -> None:
        super().__init__()
        expected = (len(encoding.features), len(encoding.outputs))
        if (graph.num_inputs, graph.num_outputs) != expected:
            raise ValueError(
                f"the encoding has {expected[0]} inputs and {expected[1]} outputs, but the graph "
                f"{graph.num_inputs} and {graph.num_outputs}"
            )
        self.encoding = encoding
        self._structure, self._levels = graph, plan_levels(graph)
        self.weights = nn.Parameter(torch.from_numpy(np.array(graph.weights)))
        self.biases = nn.Parameter(torch.from_numpy(graph.biases[graph.has_bias]))
        self.register_buffer("centre", torch.from_numpy(np.zeros(expected[0]) if centre is None else np.array(centre)))
        self.register_buffer("spread", torch.from_numpy(np.ones(expected[0]) if spread is None else np.array(spread)))

    def storage_config(self) -> dict[str, Any]:
        """Returns the arguments of `rebuild_graph`; weights and biases are in the state."""
        graph = self._structure
        return {
            "num_inputs": graph.num_inputs,
            "num_outputs": graph.num_outputs,
            "activations": list(graph.activations),
            "sources": graph.sources.tolist(),
            "targets": graph.targets.tolist(),
            "without_bias": list(graph.without_bias),
            "encoding": self.encoding.to_json(),
        }

    @property
    def graph(self) -> Graph:
        """The graph with the weights as they are now, in NumPy."""
        return self._structure.with_parameters(torch.cat([self.weights, self.biases]).detach().cpu().double().numpy())

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns outputs (N, O), numbers or the logits of the classes, of raw inputs (N, F)."""
        return run_levels(inputs.to(self.weights), self._levels, self.matrices())

    def matrices(self) -> list[tuple[Tensor, Tensor]]:
        """Returns weights (nodes before, nodes of the level) and biases (nodes of the level,) of each level."""
        found, has_bias = [], torch.from_numpy(np.array(self._structure.has_bias)).to(self.biases.device)
        biases = self.biases.new_zeros(len(has_bias)).masked_scatter(has_bias, self.biases)
        for level in self._levels:
            weights = self.weights.new_zeros(level.num_known, len(level.biases))
            filled = weights.index_put((level.rows, level.columns), self.weights[level.edges])
            found.append((filled, biases[level.biases]))
        return found


class FrozenGraph(nn.Module):
    """The same function with its matrices made once: what is exported.

    Args:
        network: Its weights are copied.
    """

    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self._levels = plan_levels(network.graph)
        for number, (matrix, bias) in enumerate(network.matrices()):
            self.register_buffer(f"matrix_{number}", matrix.detach().clone())
            self.register_buffer(f"bias_{number}", bias.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns outputs (N, O) as the network does, for inputs in double precision."""
        numbers = range(len(self._levels))
        matrices = [(self.get_buffer(f"matrix_{n}"), self.get_buffer(f"bias_{n}")) for n in numbers]
        return run_levels(inputs, self._levels, matrices)


@dataclass(frozen=True)
class Level:
    """Neurons that can be computed at once, those of one activation beside one another.

    Attributes:
        num_known: Nodes whose values are known before.
        rows: Of each edge into the level, the place of its source among those, (e,).
        columns: The place of its target in the level, (e,).
        edges: Its number in the graph, (e,).
        biases: Number of each neuron's bias in the graph, (neurons,).
        runs: Activation and count of each run of neurons; empty for outputs.
    """

    num_known: int
    rows: Tensor
    columns: Tensor
    edges: Tensor
    biases: Tensor
    runs: tuple[tuple[str, int], ...]


def run_levels(inputs: Tensor, levels: Sequence[Level], matrices: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Returns outputs (N, O) of inputs (N, F): one matrix product per level."""
    known = inputs
    for level, (matrix, bias) in zip(levels[:-1], matrices[:-1], strict=True):
        sums = torch.split(known @ matrix + bias, [count for _, count in level.runs], dim=1)
        values = [FUNCTIONS[name](part) for (name, _), part in zip(level.runs, sums, strict=True)]
        known = torch.cat([known, *values], dim=1)
    matrix, bias = matrices[-1]
    return known @ matrix + bias


def plan_levels(graph: Graph) -> list[Level]:
    """Returns the levels of a graph, from the first hidden one to that of all outputs."""
    hidden = range(graph.num_inputs, graph.first_output)
    known, plan = list(range(graph.num_inputs)), []
    for number in sorted({int(graph.levels[node]) for node in hidden}):
        nodes = [node for node in hidden if graph.levels[node] == number]
        nodes.sort(key=lambda node: graph.activations[node - graph.num_inputs])
        plan.append(_plan_level(graph, nodes, known))
        known += nodes
    return [*plan, _plan_level(graph, list(range(graph.first_output, graph.num_nodes)), known)]


def _plan_level(graph: Graph, nodes: Sequence[int], known: Sequence[int]) -> Level:
    row, column = ({node: place for place, node in enumerate(group)} for group in (known, nodes))
    edges = np.flatnonzero(np.isin(graph.targets, nodes))
    names = [graph.activations[node - graph.num_inputs] for node in nodes if node < graph.first_output]
    return Level(
        len(known),
        torch.tensor([row[source] for source in graph.sources[edges].tolist()], dtype=torch.long),
        torch.tensor([column[target] for target in graph.targets[edges].tolist()], dtype=torch.long),
        torch.from_numpy(edges),
        torch.tensor([node - graph.num_inputs for node in nodes]),
        tuple((name, names.count(name)) for name in dict.fromkeys(names)),
    )


def rebuild_graph(
    num_inputs: int,
    num_outputs: int,
    activations: Sequence[str],
    sources: Sequence[int],
    targets: Sequence[int],
    encoding: Mapping[str, Any],
    without_bias: Sequence[int] = (),
) -> GraphNetwork:
    """Builds a network of the structure that `GraphNetwork.storage_config` gave, all weights and biases 0."""
    names = cast("tuple[ActivationName, ...]", tuple(activations))
    weights, biases = np.zeros(len(sources)), np.zeros(len(activations) + num_outputs)
    ends = (np.array(sources, dtype=np.int64), np.array(targets, dtype=np.int64))
    graph = Graph(num_inputs, num_outputs, names, *ends, weights, biases, tuple(without_bias))
    return GraphNetwork(graph, Encoding.from_json(encoding))
