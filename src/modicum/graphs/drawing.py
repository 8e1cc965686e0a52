"""A graph of neurons for networkx, and as a picture: inputs left, outputs right, strong edges thick."""

from collections.abc import Sequence

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from modicum.graphs.activations import Array
from modicum.graphs.graph import Graph

INK, POSITIVE, NEGATIVE, PAPER = "#1f2328", "#0072b2", "#d55e00", "#ffffff"
THINNEST, THICKEST = 0.4, 4.0  # points
LABELLED_NODES = 60  # of larger graphs only inputs and outputs have names
BEND = 0.12  # of edges, so that those that skip a level do not run through its neurons


def to_networkx(
    graph: Graph, inputs: Sequence[str], outputs: Sequence[str], *, input_scale: Array | float = 1.0
) -> nx.DiGraph:
    """Converts the graph to networkx without its unused inputs; `networkx.write_graphml` accepts the result.

    Nodes are numbered as in ``graph`` and have ``label``, ``kind`` (input, hidden or output), ``level``,
    ``activation`` and ``bias``; edges have ``weight`` and ``strength``, the size of the weight for an input that is
    scaled to spread by 1.

    Args:
        graph: On raw inputs.
        inputs: A name for each input.
        outputs: A name for each output.
        input_scale: Standard deviation of each input, (I,); 1 where they are standardised.
    """
    drawn = nx.DiGraph()
    used = set(graph.sources.tolist())
    hidden = [f"h{number + 1}" for number in range(graph.num_hidden)]
    for node, label in enumerate([*inputs, *hidden, *outputs]):
        place = node - graph.num_inputs
        if place < 0 and node not in used:
            continue
        is_hidden = 0 <= place < graph.num_hidden
        drawn.add_node(
            node,
            label=label,
            kind="hidden" if is_hidden else "input" if place < 0 else "output",
            level=graph.depth if node >= graph.first_output else int(graph.levels[node]),
            activation=graph.activations[place] if is_hidden else "identity",
            bias=float(graph.biases[place]) if place >= 0 else 0.0,
        )
    spread = np.ones(graph.num_nodes)
    spread[: graph.num_inputs] = input_scale
    for source, target, weight in zip(
        graph.sources.tolist(), graph.targets.tolist(), graph.weights.tolist(), strict=True
    ):
        drawn.add_edge(source, target, weight=weight, strength=abs(weight) * float(spread[source]))
    return drawn


def place_nodes(drawn: nx.DiGraph) -> dict[int, tuple[float, float]]:
    """Places each node, x by its level and y in [0, 1], so that connected nodes tend to be at equal heights."""
    levels: dict[int, list[int]] = {}
    for node, level in drawn.nodes(data="level"):
        levels.setdefault(level, []).append(node)
    heights: dict[int, float] = {}
    for level in sorted(levels):
        nodes = levels[level]
        wanted = {
            node: float(np.mean([heights[source] for source in drawn.predecessors(node)] or [node / len(drawn)]))
            for node in nodes
        }
        nodes.sort(key=lambda node: wanted[node])
        # A shift by level keeps straight edges from running through what lies between.
        shift = 0.5 if level % 2 else 0.35
        heights |= {node: (place + shift) / len(nodes) for place, node in enumerate(nodes)}
    return {node: (float(drawn.nodes[node]["level"]), heights[node]) for node in drawn}


def draw_graph(axes: Axes, drawn: nx.DiGraph) -> None:
    """Draws the result of `to_networkx`, inputs on top; blue is positive, red negative, thick is strong."""
    places = place_nodes(drawn)
    strongest = max((strength for _, _, strength in drawn.edges(data="strength")), default=1.0) or 1.0
    for source, target, edge in drawn.edges(data=True):
        axes.add_patch(
            FancyArrowPatch(
                places[source],
                places[target],
                arrowstyle="-",
                connectionstyle=f"arc3,rad={BEND if source % 2 else -BEND}",
                color=POSITIVE if edge["weight"] >= 0 else NEGATIVE,
                linewidth=THINNEST + (THICKEST - THINNEST) * (edge["strength"] / strongest) ** 0.5,
                alpha=0.75,
                zorder=1,
            )
        )
    for kind, marker in (("input", "s"), ("hidden", "o"), ("output", "D")):
        spots = [places[node] for node, each in drawn.nodes(data="kind") if each == kind]
        x, y = ([spot[axis] for spot in spots] for axis in (0, 1))
        axes.scatter(x, y, s=36, marker=marker, color=INK, edgecolors=PAPER, zorder=2)
    _write_labels(axes, drawn, places)
    deepest = max(1.0, *(level for level, _ in places.values()))
    axes.set(xlim=(-0.25 * deepest - 0.2, 1.15 * deepest + 0.2), ylim=(1.03, -0.03))
    axes.set_axis_off()


def _write_labels(axes: Axes, drawn: nx.DiGraph, places: dict[int, tuple[float, float]]) -> None:
    sides = {"input": ("right", (-6, -3)), "output": ("left", (7, -3)), "hidden": ("center", (0, 6))}
    for node, data in drawn.nodes(data=True):
        if data["kind"] == "hidden" and len(drawn) > LABELLED_NODES:
            continue
        side, offset = sides[data["kind"]]
        is_hidden = data["kind"] == "hidden"
        axes.annotate(
            data["label"],
            places[node],
            xytext=offset,
            textcoords="offset points",
            ha=side,
            fontsize=6.5 if is_hidden else 8.5,
            color=INK,
            path_effects=[withStroke(linewidth=2, foreground=PAPER)],  # edges run under the names
            zorder=3,
        )
