from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.graphs.connecting import MAX_CANDIDATES, connect
from modicum.graphs.evaluation import evaluate_by_neuron
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Effort, Points, fit
from modicum.graphs.losses import SquaredError
from modicum.graphs.task import Task

TABLE = np.random.default_rng(0).uniform(-2, 2, (400, 4))


def task(targets, **options):
    return Task(Points.shuffled(TABLE, targets[:, None], SquaredError(), np.random.default_rng(0)), **options)


ANY = task(np.sin(TABLE[:, 0]))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4))
def test_new_connections_are_as_many_as_asked_for_and_change_nothing_yet(seed, count, random_graph):
    graph = random_graph(seed)
    larger = connect(graph, ANY, count, np.random.default_rng(seed))
    assert larger.num_parameters == graph.num_parameters + count
    np.testing.assert_allclose(evaluate_by_neuron(larger, TABLE), evaluate_by_neuron(graph, TABLE), atol=1e-10)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), shifted=st.sets(st.integers(0, 3)))
def test_no_graph_becomes_more_complex_on_raw_inputs(seed, shifted, random_graph):
    graph, aim = random_graph(seed), replace(ANY, shifted=tuple(shifted))
    fed = graph.feeds(np.isin(np.arange(4), list(shifted)))
    whole = replace(graph, without_bias=tuple(n for n in graph.without_bias if not fed[n - graph.num_inputs]))
    larger = connect(whole, aim, 4, np.random.default_rng(seed))
    centre = np.where(np.isin(np.arange(4), list(shifted)), 3.0, 0.0)
    assert larger.rescaled(centre, 2.0).num_parameters == larger.num_parameters


def test_what_helps_most_is_drawn_most():
    aim = task(TABLE[:, 0] + 3 * TABLE[:, 1] + 0.03 * TABLE[:, 2])
    start = fit(Graph(4, 1, (), [0], [4], [0.0], [0.0]), aim.points, Effort(20)).graph
    drawn = [connect(start, aim, 1, np.random.default_rng(seed)).sources.tolist() for seed in range(20)]
    assert drawn == [[0, 1]] * 20  # by its gain, 10,000 times as often as any other


def test_a_missing_bias_is_a_connection_too():
    aim = task(TABLE[:, 0] + 5)
    start = Graph(4, 1, (), [0], [4], [1.0], [0.0], without_bias=(4,))
    assert connect(start, aim, 1, np.random.default_rng(0)).without_bias == ()


def test_a_graph_that_lacks_nothing_stays_as_it_is():
    full = fit(Graph.linear(4), ANY.points, Effort(20)).graph
    assert connect(full, ANY, 3, np.random.default_rng(0)) == full


def test_where_more_edges_are_missing_than_can_be_judged_some_are_drawn():
    graph = Graph.layered((4, 20, 20, 1), rng=np.random.default_rng(0))
    assert MAX_CANDIDATES < 16 * 20
    assert connect(graph, ANY, 2, np.random.default_rng(0)).num_edges == graph.num_edges + 2


def test_the_same_generator_adds_the_same():
    graph = fit(Graph.layered((4, 3, 2, 1), rng=np.random.default_rng(0)), ANY.points, Effort(20)).graph
    first, second = (connect(graph, ANY, 3, np.random.default_rng(7)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_makes_use_of_them(seed):
    aim = task(np.sin(TABLE[:, 0]) * TABLE[:, 1])
    start = fit(Graph.layered((4, 3, 2, 1), rng=np.random.default_rng(1)), aim.points, Effort(200, 1e-6))
    larger = connect(start.graph, aim, 3, np.random.default_rng(seed))
    assert fit(larger, aim.points, Effort(40)).loss < start.loss
