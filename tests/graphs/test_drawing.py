import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from modicum.graphs.drawing import draw_graph, place_nodes, to_networkx
from modicum.graphs.graph import Graph

NAMES = ("a", "b", "c", "d")


def test_nodes_and_edges_are_those_of_the_graph(random_graph):
    graph = random_graph(2)
    drawn = to_networkx(graph, NAMES, ("y",))
    assert drawn.number_of_edges() == graph.num_edges
    assert nx.is_directed_acyclic_graph(drawn)
    assert drawn.nodes[graph.first_output] | {"bias": 0} == {
        "label": "y",
        "kind": "output",
        "level": graph.depth,
        "activation": "identity",
        "bias": 0,
    }


def test_inputs_that_are_not_used_are_left_out():
    graph = Graph(2, 1, (), np.array([1]), np.array([2]), np.array([3.0]), np.zeros(1))
    assert sorted(label for _, label in to_networkx(graph, ("a", "b"), ("y",)).nodes(data="label")) == ["b", "y"]


def test_every_edge_leads_to_the_right(random_graph):
    drawn = to_networkx(random_graph(3), NAMES, ("y",))
    places = place_nodes(drawn)
    assert all(places[source][0] < places[target][0] for source, target in drawn.edges)
    assert len(set(places.values())) == len(places)


def test_thickness_follows_the_weight_times_the_spread_of_the_input():
    graph = Graph(2, 1, (), np.array([0, 1]), np.array([2, 2]), np.array([4.0, -1.0]), np.zeros(1))
    axes = Figure().subplots()
    draw_graph(axes, to_networkx(graph, ("a", "b"), ("y",), input_scale=np.array([1.0, 16.0])))
    thin, thick = (patch for patch in axes.patches if isinstance(patch, FancyArrowPatch))
    assert thick.get_linewidth() == pytest.approx(4.0)
    assert thin.get_linewidth() == pytest.approx(0.4 + 3.6 * 0.5)
    assert thin.get_edgecolor()[:3] != thick.get_edgecolor()[:3]


def test_graph_can_be_kept_as_graphml(random_graph, tmp_path):
    nx.write_graphml(to_networkx(random_graph(0), NAMES, ("y",)), tmp_path / "graph.graphml")
    assert nx.read_graphml(tmp_path / "graph.graphml").number_of_edges() == random_graph(0).num_edges
