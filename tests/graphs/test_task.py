import numpy as np
import pytest

from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Fit, Points
from modicum.graphs.losses import SquaredError
from modicum.graphs.task import Task

POINTS = Points(np.zeros((1, 4)), np.full((1, 4), 3.0), SquaredError())
OTHERS = Points(np.zeros((1, 2)), np.full((1, 2), 1.0), SquaredError())
ZERO = Fit(Graph.linear(1), 9.0, 0)


def test_bound_is_held_on_the_points_fitted():
    assert Task(POINTS, 9.0).holds(ZERO)
    assert not Task(POINTS, 8.9).holds(ZERO)


def test_bound_is_held_on_validation_points_where_there_are_some():
    task = Task(POINTS, 1.0, validation=OTHERS)
    assert task.judged_loss(ZERO) == 1.0
    assert task.holds(ZERO)


@pytest.mark.parametrize(("measure", "size"), [("parameters", 2), ("edges", 1), ("macs", 1)])
def test_size_follows_the_measure(measure, size):
    assert Task(POINTS, 1.0, measure=measure).size(ZERO) == size


def test_effort_ends_at_the_bound():
    effort = Task(POINTS, 2.0).effort(30, slack=0.9)
    assert (effort.iterations, effort.stop_at, effort.abandon_above) == (30, 1.8, 2.0)


@pytest.mark.parametrize("task", [Task(POINTS, 2.0, validation=OTHERS), Task(POINTS, max_complexity=5)])
def test_effort_goes_on_where_the_loss_tells_nothing_about_the_bound(task):
    assert (task.effort(30, slack=0.9).stop_at, task.effort(30, slack=0.9).abandon_above) == (0, np.inf)


def test_biases_are_free_but_those_of_outputs_and_below_shifted_inputs():
    graph = Graph(2, 1, ("tanh",) * 3, [0, 1, 2, 3, 4], [2, 3, 4, 5, 5], np.ones(5), np.zeros(4))
    assert Task(POINTS).is_free(graph).tolist() == [True] * 8 + [False]
    assert Task(POINTS, shifted=(1,)).is_free(graph).tolist() == [True] * 6 + [False, True, False]


def test_biases_that_are_not_there_are_not_asked_for():
    graph = Graph(2, 1, ("tanh",) * 2, [0, 1, 2, 3], [2, 3, 4, 4], np.ones(4), np.zeros(3), without_bias=(2,))
    assert Task(POINTS, shifted=(0,)).is_free(graph).tolist() == [True] * 5 + [False]
