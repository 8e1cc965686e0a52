import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.graphs.evaluation import CHUNK_POINTS, Schedule, evaluate, evaluate_by_neuron
from modicum.graphs.graph import Graph


@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.4, 1.0]))
def test_levels_equal_neuron_by_neuron(seed, density, untidy_graph, three_inputs):
    graph = untidy_graph(seed, density=density)
    np.testing.assert_allclose(evaluate(graph, three_inputs), evaluate_by_neuron(graph, three_inputs), atol=1e-10)


def test_chunks_join_without_seam(untidy_graph):
    graph, inputs = untidy_graph(1), np.random.default_rng(0).standard_normal((2 * CHUNK_POINTS + 3, 3))
    np.testing.assert_allclose(evaluate(graph, inputs), evaluate_by_neuron(graph, inputs), atol=1e-10)


def test_no_points_give_no_outputs(untidy_graph):
    assert evaluate(untidy_graph(0), np.empty((0, 3))).shape == (0, 2)


def test_inputs_of_another_width_are_refused(untidy_graph):
    with pytest.raises(ValueError, match=r"inputs must have shape \(points, 3\), got \(5, 2\)"):
        evaluate(untidy_graph(0), np.zeros((5, 2)))


def test_neurons_of_one_level_and_activation_are_one_span():
    schedule = Schedule(Graph.layered((2, 4, 3, 1)))
    assert [(span.first, span.last) for span in schedule.spans] == [(0, 4), (4, 7)]


@given(seed=st.integers(0, 10**6))
def test_jacobian_equals_difference_quotients(seed, untidy_graph, three_inputs):
    graph, step = untidy_graph(seed), 1e-6
    schedule, parameters = Schedule(graph), graph.parameters

    def outputs_at(parameters):
        values, sums = schedule.new_values(three_inputs.T), np.empty((graph.num_hidden, len(three_inputs)))
        matrix = schedule.matrix(parameters)
        return schedule.forward(matrix, values, sums).copy(), (matrix, values, sums)

    _, state = outputs_at(parameters)
    slopes = schedule.adjoint(*state, np.array([[0.0], [1.0]]))  # of the second output
    jacobian = schedule.jacobian(state[1], slopes, out=np.empty((len(parameters), len(three_inputs))))

    for index, unit in enumerate(np.eye(len(parameters)) * step):
        rise = outputs_at(parameters + unit)[0] - outputs_at(parameters - unit)[0]
        np.testing.assert_allclose(jacobian[index], rise[1] / (2 * step), atol=1e-5, rtol=1e-5)
