from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Effort, Fit, Points, fit, mean_loss
from modicum.graphs.losses import SquaredError
from modicum.graphs.pruning import Surgeon, prune
from modicum.graphs.task import Task

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((400, 4))


def task(targets, max_loss):
    return Task(Points.shuffled(TABLE, targets[:, None], SquaredError(), np.random.default_rng(0)), max_loss)


LINEAR = TABLE @ [2.0, 0.01, -1.0, 0.0] + 0.5
CURVED = np.sin(TABLE[:, 0]) + 0.5 * TABLE[:, 2]


def fitted_linear(max_loss):
    aim = task(LINEAR, max_loss)
    return fit(Graph.linear(4), aim.points, Effort(60, min_gain=0)), aim


def test_saliency_of_a_linear_graph_is_the_rise_of_its_loss():
    start, aim = fitted_linear(0.1)
    saliencies = Surgeon.of(start.graph, aim).saliencies()
    for edge in range(4):
        refitted = fit(start.graph.without(np.array([edge])), aim.points, Effort(60, min_gain=0))
        assert saliencies[edge] == pytest.approx(refitted.loss - start.loss, rel=1e-3, abs=1e-6)


def test_surgeon_moves_a_linear_graph_to_the_new_optimum():
    start, aim = fitted_linear(0.1)
    moved = Surgeon.of(start.graph, aim).without(np.array([1, 2]))
    refitted = fit(moved, aim.points, Effort(60, min_gain=0))
    assert mean_loss(moved, aim.points) == pytest.approx(refitted.loss, rel=1e-4)


def test_inputs_that_tell_nothing_are_pruned():
    start, aim = fitted_linear(0.01)
    *_, last = prune(start, aim)
    assert last.graph.sources.tolist() == [0, 2]


def test_every_graph_on_the_way_keeps_the_bound_and_is_smaller():
    aim = task(CURVED, 0.01)
    start = fit(Graph.layered((4, 6, 1), rng=np.random.default_rng(0)), aim.points, Effort(100))
    found = [start, *prune(start, aim)]
    sizes = [member.graph.num_parameters for member in found]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] <= 9  # one neuron, and room for more would be waste
    for member in found:
        assert member.loss == pytest.approx(mean_loss(member.graph, aim.points))
        assert member.loss <= 0.01


def test_bound_may_be_held_on_other_points():
    start, aim = fitted_linear(0.01)
    other = Points(aim.points.inputs, aim.points.targets + 10, SquaredError())  # never within the bound
    judged = Task(aim.points, 0.01, validation=other)
    assert list(prune(start, judged)) == []


ODD = Graph(2, 1, ("tanh", "tanh"), [0, 1, 2, 3], [2, 3, 4, 4], [1.0, 2.0, 0.5, -2.0], np.zeros(3))


def odd_task(**options):
    targets = 0.5 * np.tanh(TABLE[:, :1]) - 2 * np.tanh(2 * TABLE[:, 1:2])
    shuffled = Points.shuffled(TABLE[:, :2], targets, SquaredError(), np.random.default_rng(0))
    return Task(shuffled, 1e-3, **options)


def pruned(aim):
    *_, last = prune(fit(ODD, aim.points, Effort(60)), aim)
    return last.graph


def test_biases_that_do_nothing_are_pruned_but_for_the_output():
    assert pruned(odd_task()).without_bias == (2, 3)


def test_biases_that_the_centre_of_an_input_goes_into_stay():
    assert pruned(odd_task(shifted=(1,))).without_bias == (2,)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), shifted=st.sets(st.integers(0, 3)))
def test_a_pruned_graph_on_raw_inputs_is_no_more_complex(seed, shifted):
    aim = replace(task(CURVED, 0.05), shifted=tuple(shifted))
    start = fit(Graph.layered((4, 3, 2, 1), rng=np.random.default_rng(seed)), aim.points, Effort(60))
    centre = np.where([number in shifted for number in range(4)], 3.0, 0.0)
    for smaller in prune(start, aim) if aim.holds(start) else ():
        assert smaller.graph.rescaled(centre, 2.0, 5.0, 7.0).num_parameters == smaller.graph.num_parameters


def test_a_constant_cannot_be_pruned():
    aim = task(LINEAR, 100.0)
    constant = Graph(4, 1, (), np.empty(0), np.empty(0), np.empty(0), [0.5])
    assert list(prune(Fit(constant, 5.0, 0), aim)) == []
