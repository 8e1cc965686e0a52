import json

import numpy as np
import pytest
import torch

from modicum.graphs.graph import Graph
from modicum.graphs.graph_files import from_json, load_graph, save_graph, to_json
from modicum.storage.errors import WeightsError
from modicum.storage.header import read_header
from modicum.storage.weights import save_network


@pytest.fixture
def file(tmp_path, untidy_graph):
    save_graph(tmp_path / "model.safetensors", untidy_graph(5), notes={"error": 0.06})
    return tmp_path / "model.safetensors"


def test_a_graph_comes_back_from_its_file_to_the_last_bit(file, untidy_graph):
    assert load_graph(file) == untidy_graph(5)


def test_a_run_folder_stands_for_its_file(file, untidy_graph):
    assert load_graph(file.parent) == untidy_graph(5)


def test_header_tells_what_the_file_holds(file):
    header = read_header(file)
    assert (header.network, header.config["num_inputs"], header.notes) == ("graph", 3, {"error": 0.06})


def test_a_graph_comes_back_from_json_to_the_last_bit(untidy_graph):
    assert from_json(json.loads(json.dumps(to_json(untidy_graph(6))))) == untidy_graph(6)


def test_a_graph_that_says_nothing_of_missing_biases_has_all(untidy_graph):
    graph = Graph.layered((2, 3, 1), rng=np.random.default_rng(0))
    content = to_json(graph)
    assert content.pop("without_bias") == []
    assert from_json(content) == graph


def test_a_graph_without_edges_can_be_stored(tmp_path):
    graph = Graph(2, 1, (), np.empty(0), np.empty(0), np.empty(0), [0.5])
    save_graph(tmp_path / "constant.safetensors", graph)
    assert load_graph(tmp_path / "constant.safetensors") == graph


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(WeightsError, match="truncated"):
        load_graph(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.safetensors does not exist"):
        load_graph(tmp_path / "nothing.safetensors")


def test_another_network_is_named(tmp_path):
    class Other(torch.nn.Linear):
        storage_name = "other"

        def storage_config(self):
            return {}

    save_network(tmp_path / "other.safetensors", Other(1, 1))
    with pytest.raises(WeightsError, match="holds the network 'other', not a graph of neurons"):
        load_graph(tmp_path / "other.safetensors")


def test_an_impossible_graph_is_damage(tmp_path, monkeypatch, untidy_graph):
    monkeypatch.setattr("modicum.graphs.graph_files._config", lambda graph: {
        "num_inputs": 1, "num_outputs": 1, "activations": ["tanh"]})  # fmt: skip
    save_graph(tmp_path / "odd.safetensors", untidy_graph(5))
    with pytest.raises(WeightsError, match="is damaged"):
        load_graph(tmp_path / "odd.safetensors")
