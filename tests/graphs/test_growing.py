import numpy as np
import pytest

from modicum.graphs.evaluation import evaluate_by_neuron
from modicum.graphs.graph import Graph
from modicum.graphs.growing import Candidates, Sample, Signal, grow
from modicum.graphs.levenberg_marquardt import Effort, Points, fit
from modicum.graphs.losses import CrossEntropy, SquaredError

TABLE = np.random.default_rng(0).uniform(-2, 2, (500, 2))
POINTS = Points.shuffled(TABLE, np.sin(3 * TABLE[:, :1]), SquaredError(), np.random.default_rng(0))
LINEAR = fit(Graph.linear(2), POINTS, Effort(60)).graph


def small_graph(points=POINTS, outputs=1):
    start = Graph.layered((2, 3, 2, outputs), rng=np.random.default_rng(1))
    return fit(start, points, Effort(10)).graph.canonical()


@pytest.mark.parametrize("seed", range(8))
def test_a_neuron_anywhere_lowers_the_loss_after_a_fit(seed):
    start = fit(small_graph(), POINTS, Effort(40))
    grown = grow(start.graph, POINTS, Candidates(), np.random.default_rng(seed))
    assert grown.num_hidden == start.graph.num_hidden + 1
    assert fit(grown, POINTS, Effort(40)).loss < start.loss


def test_a_neuron_at_the_end_sees_all_and_feeds_the_output():
    start = small_graph()
    grown = grow(start, POINTS, Candidates(), np.random.default_rng(0), at_end=True)
    assert grown.num_edges == start.num_edges + 2 + start.num_hidden + 1


def test_a_neuron_explains_most_of_a_residual_of_its_own_kind():
    hidden = np.tanh(2 * TABLE[:, :1] - TABLE[:, 1:] + 0.5)
    points = Points.shuffled(TABLE, hidden, SquaredError(), np.random.default_rng(0))
    grown = grow(LINEAR, points, Candidates(), np.random.default_rng(0), at_end=True)
    assert fit(grown, points, Effort(30)).loss < 1e-4


def test_the_same_generator_grows_the_same_graph():
    first, second = (grow(small_graph(), POINTS, Candidates(), np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_activations_are_drawn_from_those_allowed():
    grown = grow(LINEAR, POINTS, Candidates(activations=("sin",)), np.random.default_rng(0), at_end=True)
    assert grown.activations == ("sin",)


def test_graphs_for_classes_grow_too():
    labels = np.eye(3)[np.digitize(TABLE[:, 0] * TABLE[:, 1], [-1, 1])]
    points = Points.shuffled(TABLE, labels, CrossEntropy(), np.random.default_rng(0))
    start = fit(small_graph(points, outputs=3), points, Effort(40))
    grown = grow(start.graph, points, Candidates(), np.random.default_rng(0))
    assert fit(grown, points, Effort(40)).loss < start.loss


def test_sample_holds_the_values_of_all_nodes():
    graph = small_graph()
    np.testing.assert_allclose(
        Sample(graph, POINTS).node_values[-1], evaluate_by_neuron(graph, POINTS.inputs.T)[:, 0], atol=1e-12
    )


def test_gain_at_an_output_is_that_of_linear_regression():
    sample, values = Sample(LINEAR, POINTS), np.random.default_rng(1).standard_normal((3, 500))
    signal = sample.signal(LINEAR.first_output)
    residual = signal.wanted
    for row, gain in zip(values, signal.gains(signal.centred(values)), strict=True):
        design = np.stack([row, np.ones(500)], axis=1)
        left = residual - design @ np.linalg.lstsq(design, residual, rcond=None)[0]
        bias_alone = residual - residual.mean()
        assert 2 * gain == pytest.approx(bias_alone @ bias_alone - left @ left, abs=1e-8)


def test_a_target_without_slope_asks_for_nothing():
    signal = Signal(np.zeros(5), np.full(5, 1e-12))
    assert signal.gains(signal.centred(np.random.default_rng(0).standard_normal((2, 5)))).tolist() == [0, 0]
