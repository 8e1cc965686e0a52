import numpy as np
import pytest

from modicum.graphs.graph import Graph
from modicum.graphs.layered import layers_of, num_parameters, search_layered, shape_of_size
from modicum.graphs.levenberg_marquardt import Points
from modicum.graphs.losses import SquaredError
from modicum.graphs.task import Task


def task_of(function, max_error):
    x = np.linspace(-2, 2, 200)[:, None]
    points = Points.shuffled(x, function(x), SquaredError(), np.random.default_rng(0))
    return Task(points, max_error**2)


def test_network_that_is_a_neuron_is_found_as_one():
    found = search_layered(task_of(lambda x: 0.3 + 0.8 * np.tanh(1.5 * x - 0.2), 0.001), seconds=0.5, seed=0)
    assert layers_of(found.best.graph) == (1,)
    assert found.best.loss <= 0.001**2


def test_smaller_networks_are_found_in_more_time():
    task = task_of(lambda x: np.sin(3 * x), 0.02)
    short, long = (search_layered(task, seconds=seconds, seed=0) for seconds in (0.4, 4.0))
    assert long.fits > short.fits
    assert task.holds(long.best)
    assert short.best is None or long.best.graph.num_parameters <= short.best.graph.num_parameters


def test_bound_that_no_network_keeps_gives_the_one_of_least_error():
    noise = np.random.default_rng(0).standard_normal((200, 1))
    found = search_layered(task_of(lambda x: noise, 0.001), seconds=0.5, seed=0, max_parameters=20)
    assert found.best is None
    assert found.least.loss < 1.0
    assert found.least.graph.num_parameters <= 20


def test_parameters_are_counted_as_the_graph_counts_them():
    assert num_parameters((2, 7, 7, 1)) == Graph.layered((2, 7, 7, 1)).num_parameters == 85


@pytest.mark.parametrize(
    ("depth", "most", "expected"), [(1, 57, (14,)), (2, 57, (5, 5)), (3, 81, (5, 5, 5)), (1, 3, None)]
)
def test_largest_shape_within_a_size_is_taken(depth, most, expected):
    assert shape_of_size(2, 1, depth, most) == expected
