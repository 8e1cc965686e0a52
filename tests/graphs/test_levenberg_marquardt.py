import numpy as np
import pytest
from scipy.optimize import least_squares

from modicum.graphs.evaluation import evaluate, evaluate_by_neuron
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import MAX_WEIGHT, WEIGHT_DECAY, Effort, Points, curvature, fit, mean_loss
from modicum.graphs.losses import CrossEntropy, SquaredError

RNG = np.random.default_rng(0)
TABLE = RNG.uniform(-2, 2, (300, 2))
CURVE = np.stack([np.sin(TABLE[:, 0]) + 0.3 * TABLE[:, 1] ** 2, np.tanh(TABLE[:, 1])], axis=1)


def points(outputs=1, seed=0):
    return Points.shuffled(TABLE, CURVE[:, :outputs], SquaredError(), np.random.default_rng(seed))


def residuals(graph, table, targets, parameters):
    moved = graph.with_parameters(parameters)
    errors = (evaluate_by_neuron(moved, table) - targets).ravel() / np.sqrt(targets.size)
    return np.concatenate([errors, np.sqrt(WEIGHT_DECAY) * parameters])


def objective(graph, outputs=1):
    parameters = graph.parameters
    return (residuals(graph, TABLE, CURVE[:, :outputs], parameters) ** 2).sum()


@pytest.mark.parametrize("outputs", [1, 2])
def test_fit_ends_where_scipy_finds_nothing_better(outputs):
    start = Graph.layered((2, 3, outputs), rng=np.random.default_rng(1))
    fitted = fit(start, points(outputs), Effort(400, min_gain=1e-9)).graph

    def errors(parameters):
        return residuals(fitted, TABLE, CURVE[:, :outputs], parameters)

    found = least_squares(errors, fitted.parameters, method="lm")
    assert objective(fitted, outputs) <= 1.01 * 2 * found.cost


def test_fit_of_a_linear_graph_is_linear_regression():
    fitted = fit(Graph.linear(2), points(), Effort(50, min_gain=0)).graph
    design = np.hstack([TABLE, np.ones((300, 1))])
    expected = np.linalg.lstsq(design, CURVE[:, 0], rcond=None)[0]
    np.testing.assert_allclose(fitted.parameters, expected, atol=1e-4)  # the decay shrinks a little


def test_loss_is_that_of_the_fitted_graph():
    fitted = fit(Graph.layered((2, 3, 1), rng=np.random.default_rng(1)), points(), Effort(5))
    assert fitted.loss == pytest.approx(((evaluate(fitted.graph, TABLE)[:, 0] - CURVE[:, 0]) ** 2).mean())
    assert fitted.loss == pytest.approx(mean_loss(fitted.graph, points()))


@pytest.mark.parametrize("seed", range(4))
def test_fit_never_makes_it_worse(seed):
    start = Graph.layered((2, 4, 4, 1), "sin", rng=np.random.default_rng(seed))
    assert objective(fit(start, points(), Effort(3)).graph) <= objective(start)


def test_classes_are_told_apart():
    labels = np.eye(3)[np.digitize(TABLE[:, 0] ** 2 + TABLE[:, 1] ** 2, [1.0, 3.0])]
    classes = Points.shuffled(TABLE, labels, CrossEntropy(), np.random.default_rng(0))
    fitted = fit(Graph.layered((2, 8, 3), rng=np.random.default_rng(0)), classes, Effort(100))
    assert fitted.loss < 0.1
    assert (evaluate(fitted.graph, TABLE).argmax(axis=1) == labels.argmax(axis=1)).mean() > 0.95


class TestEffort:
    def start(self):
        return Graph.layered((2, 4, 1), rng=np.random.default_rng(0))

    def test_steps_are_bounded(self):
        assert fit(self.start(), points(), Effort(7, min_gain=0)).iterations == 7

    def test_no_steps_change_nothing(self):
        assert fit(self.start(), points(), Effort(0)).graph == self.start()

    def test_it_stops_when_good_enough(self):
        fitted = fit(self.start(), points(), Effort(100, stop_at=0.05))
        assert fitted.loss <= 0.05
        assert fitted.iterations < 100

    def test_it_gives_up_what_is_out_of_reach(self):
        linear = fit(Graph.linear(2), points(), Effort(100, min_gain=0, abandon_above=1e-3))
        assert linear.iterations < 15

    def test_it_ends_when_nothing_is_gained(self):
        assert fit(self.start(), points(), Effort(10_000)).iterations < 5000


def test_weights_are_bounded():
    step = Points.shuffled(TABLE, np.sign(TABLE[:, :1]), SquaredError(), np.random.default_rng(0))
    fitted = fit(Graph.layered((2, 1, 1), rng=np.random.default_rng(0)), step, Effort(200, min_gain=0))
    assert np.abs(fitted.graph.weights).max() <= MAX_WEIGHT


def test_curvature_of_a_linear_graph_is_its_design():
    fitted = fit(Graph.linear(2), points(), Effort(50)).graph
    matrix, gradient = curvature(fitted, points())
    design = np.hstack([TABLE, np.ones((300, 1))])
    np.testing.assert_allclose(matrix, design.T @ design / 300, atol=1e-10)
    np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-4)


def test_order_of_points_hardly_matters():
    start = Graph.layered((2, 3, 1), rng=np.random.default_rng(1))
    losses = [fit(start, points(seed=seed), Effort(10, min_gain=0)).loss for seed in (0, 1)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_part_of_the_points_is_a_copy():
    whole = points()
    part = whole.part(10, 25)
    assert part.num_points == 15
    np.testing.assert_array_equal(part.inputs, whole.inputs[:, 10:25])
    assert part.targets.base is None
