import numpy as np
import pytest
import torch

from modicum.graphs.encoding import Encoding
from modicum.graphs.evaluation import evaluate
from modicum.graphs.torch_module import FrozenGraph, GraphNetwork, rebuild_graph
from modicum.storage.weights import load_network, save_network

INPUTS = np.random.default_rng(0).standard_normal((50, 4))


def network_of(graph):
    encoding = Encoding.of_numbers([f"x{n}" for n in range(graph.num_inputs)], "y")
    return GraphNetwork(graph, encoding)


@pytest.mark.parametrize("seed", range(6))
def test_network_computes_what_the_graph_computes(random_graph, seed):
    graph = random_graph(seed)
    with torch.no_grad():
        outputs = network_of(graph)(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(outputs, evaluate(graph, INPUTS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_frozen_form_computes_the_same(random_graph, seed):
    network = network_of(random_graph(seed))
    with torch.no_grad():
        expected = network(torch.from_numpy(INPUTS))
        torch.testing.assert_close(FrozenGraph(network)(torch.from_numpy(INPUTS)), expected, rtol=0, atol=1e-13)


def test_gradient_reaches_every_weight_and_bias(random_graph):
    network = network_of(random_graph(0))
    network(torch.from_numpy(INPUTS)).square().sum().backward()
    assert (network.weights.grad != 0).all()
    assert (network.biases.grad != 0).all()


def test_saved_network_loads_as_the_same_graph(random_graph, tmp_path):
    network = network_of(random_graph(1))
    save_network(tmp_path / "graph.safetensors", network)
    loaded = load_network(tmp_path / "graph.safetensors", {"graphs": rebuild_graph})
    assert loaded.graph == network.graph
    assert loaded.encoding == network.encoding


def test_parameters_are_those_of_the_graph(random_graph):
    graph = random_graph(0)
    assert graph.without_bias
    assert sum(parameter.numel() for parameter in network_of(graph).parameters()) == graph.num_parameters


def test_linear_regression_is_a_graph_without_hidden_neurons(random_graph):
    graph = random_graph(0, num_hidden=0)
    with torch.no_grad():
        outputs = network_of(graph)(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(outputs, evaluate(graph, INPUTS), rtol=0, atol=1e-12)


def test_encoding_of_another_size_is_refused(random_graph):
    with pytest.raises(ValueError, match="the encoding has 3 inputs and 1 outputs, but the graph 4 and 1"):
        GraphNetwork(random_graph(0), Encoding.of_numbers(["a", "b", "c"], "y"))
