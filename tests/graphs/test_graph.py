import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.graphs.evaluation import evaluate_by_neuron
from modicum.graphs.graph import Edge, Graph


def small(**changes):
    """Two inputs, hidden 2 and 3, output 4: 0 -> 2 -> 4, 1 -> 3 -> 4, 2 -> 3, 0 -> 4."""
    parts = {
        "num_inputs": 2,
        "num_outputs": 1,
        "activations": ("tanh", "sin"),
        "sources": [0, 2, 1, 3, 2, 0],
        "targets": [2, 4, 3, 4, 3, 4],
        "weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "biases": [0.1, 0.2, 0.3],
    }
    return Graph(**{**parts, **changes})


class TestCounting:
    def test_parameters_are_weights_and_biases(self):
        assert small().complexity() == 9

    def test_edges_alone_can_be_counted(self):
        assert small().complexity("edges") == 6

    def test_a_bias_that_is_not_there_does_not_count(self):
        graph = small(biases=[0.1, 0.0, 0.3], without_bias=[3])
        assert (graph.complexity(), graph.has_bias.tolist()) == (8, [True, False, True])
        assert graph.parameters.tolist() == [1, 2, 3, 4, 5, 6, 0.1, 0.3]

    def test_multiply_adds_include_activations(self):
        assert small().complexity("macs") == 6 + 8 + 6  # tanh, sin

    def test_unknown_measure_is_refused(self):
        with pytest.raises(ValueError, match="complexity must be one of parameters, edges, macs, got 'nodes'"):
            small().complexity("nodes")

    def test_levels_are_longest_paths(self):
        assert small().levels.tolist() == [0, 0, 1, 2, 3]
        assert small().depth == 3


class TestLayered:
    @pytest.mark.parametrize(("sizes", "parameters"), [((2, 3, 3, 3, 1), 37), ((2, 5, 5, 5, 1), 81), ((12, 4, 1), 57)])
    def test_published_counts(self, sizes, parameters):
        assert Graph.layered(sizes).num_parameters == parameters

    def test_neurons_feed_the_next_layer_only(self):
        graph = Graph.layered((2, 2, 1))
        assert list(zip(graph.sources.tolist(), graph.targets.tolist(), strict=True)) == [
            (0, 2), (1, 2), (0, 3), (1, 3), (2, 4), (3, 4),
        ]  # fmt: skip

    def test_linear_regression_has_no_hidden_neurons(self):
        assert (Graph.linear(5, 2).num_hidden, Graph.linear(5, 2).num_parameters) == (0, 12)

    def test_the_same_generator_draws_the_same_weights(self):
        first, second = (Graph.layered((2, 3, 1), rng=np.random.default_rng(1)) for _ in range(2))
        assert first == second
        assert first != Graph.layered((2, 3, 1), rng=np.random.default_rng(2))

    def test_a_single_size_is_refused(self):
        with pytest.raises(ValueError, match=r"sizes must be at least two whole numbers above 0, got \(3,\)"):
            Graph.layered((3,))


class TestChecks:
    @pytest.mark.parametrize(("source", "target"), [(3, 2), (2, 2), (0, 1), (4, 5), (-1, 2)])
    def test_impossible_edges_are_named(self, source, target):
        with pytest.raises(ValueError, match=f"edge {source} -> {target} is not possible: edges lead from a lower"):
            small(sources=[0, 2, 1, 3, 2, source], targets=[2, 4, 3, 4, 3, target])

    def test_twin_edges_are_refused(self):
        with pytest.raises(ValueError, match="two edges join the same nodes"):
            small(sources=[0, 2, 1, 3, 2, 0], targets=[2, 4, 3, 4, 3, 2])

    def test_missing_weights_are_counted(self):
        with pytest.raises(ValueError, match="one entry per edge, got 6, 6 and 1"):
            small(weights=[1.0])

    def test_missing_biases_are_counted(self):
        with pytest.raises(ValueError, match="2 hidden neurons and 1 outputs need 3 biases, got 1"):
            small(biases=[1.0])

    @pytest.mark.parametrize("nodes", [[1], [5], [3, 3]])
    def test_only_neurons_and_outputs_can_lack_a_bias(self, nodes):
        with pytest.raises(ValueError, match=r"without_bias must name hidden neurons and outputs \(2..4\), each once"):
            small(biases=[0.0, 0.0, 0.0], without_bias=nodes)

    def test_a_bias_is_there_or_0(self):
        with pytest.raises(ValueError, match=r"nodes without a bias, \(3,\), must have 0 in its place"):
            small(without_bias=[3])

    def test_parameters_are_counted(self):
        with pytest.raises(ValueError, match=r"a graph of 8 parameters needs as many, got shape \(9,\)"):
            small(biases=[0.1, 0.0, 0.3], without_bias=[3]).with_parameters(np.zeros(9))

    def test_unknown_activations_are_named(self):
        with pytest.raises(ValueError, match="must be among tanh, sin, silu, softplus, got relu"):
            small(activations=("tanh", "relu"))

    def test_infinite_weights_are_refused(self):
        with pytest.raises(ValueError, match="must be finite"):
            small(biases=[0.0, np.inf, 0.0])

    def test_a_graph_needs_outputs(self):
        with pytest.raises(ValueError, match="needs inputs and outputs, got 2 and 0"):
            small(num_outputs=0)

    def test_arrays_cannot_be_changed(self):
        with pytest.raises(ValueError, match="read-only"):
            small().weights[0] = 1

    def test_arrays_are_copies(self):
        weights = np.ones(6)
        graph = small(weights=weights)
        weights[0] = 7
        assert graph.weights[0] == 1


class TestCanonical:
    @given(seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.25, 0.5]))
    def test_canonical_form_is_the_same_function(self, seed, density, untidy_graph, three_inputs):
        graph = untidy_graph(seed, density=density)
        np.testing.assert_allclose(
            evaluate_by_neuron(graph.canonical(), three_inputs), evaluate_by_neuron(graph, three_inputs), atol=1e-10
        )

    @given(seed=st.integers(0, 10**6))
    def test_canonical_form_keeps_only_neurons_that_are_fed_and_lead_somewhere(self, seed, untidy_graph):
        graph = untidy_graph(seed, density=0.15).canonical()
        hidden = set(range(graph.num_inputs, graph.first_output))
        assert hidden <= set(graph.sources.tolist())
        assert hidden <= set(graph.targets.tolist())

    @given(seed=st.integers(0, 10**6))
    def test_canonical_form_stays_and_is_sorted(self, seed, untidy_graph):
        graph = untidy_graph(seed).canonical()
        assert graph.canonical() == graph
        assert (np.diff(graph.levels[graph.num_inputs : graph.first_output]) >= 0).all()
        assert (np.diff(graph.targets) >= 0).all()

    def test_a_constant_travels_through_all_that_follow(self):
        graph = Graph(1, 1, ("tanh", "tanh"), [1, 2, 0], [2, 3, 3], [2.0, 3.0, 1.0], [0.5, 0.1, 0.2])
        folded = graph.canonical()
        assert folded.num_hidden == 0
        assert folded.biases[0] == pytest.approx(0.2 + 3 * np.tanh(0.1 + 2 * np.tanh(0.5)))

    def test_a_constant_gives_its_target_a_bias(self):
        graph = Graph(1, 1, ("softplus",), [1, 0], [2, 2], [3.0, 1.0], [0.0, 0.0], without_bias=[1, 2])
        folded = graph.canonical()
        assert (folded.without_bias, folded.biases.tolist()) == ((), [pytest.approx(3 * np.log(2))])

    def test_a_constant_0_gives_its_target_none(self):
        graph = Graph(1, 1, ("tanh",), [1, 0], [2, 2], [3.0, 1.0], [0.0, 0.0], without_bias=[1, 2])
        assert graph.canonical().without_bias == (1,)

    def test_a_graph_may_lose_everything_but_its_outputs(self):
        empty = small().without(np.arange(6)).canonical()
        assert (empty.num_hidden, empty.num_edges, empty.num_parameters) == (0, 0, 1)


class TestEdits:
    def test_a_neuron_moves_later_nodes_up(self):
        graph = small().with_neuron(3, "silu", 0.7, [Edge(0, 3, 1.5), Edge(3, 5, 2.5)])
        assert graph.activations == ("tanh", "silu", "sin")
        assert graph.biases.tolist() == [0.1, 0.7, 0.2, 0.3]
        assert (graph.sources[:6].tolist(), graph.targets[:6].tolist()) == ([0, 2, 1, 4, 2, 0], [2, 5, 4, 5, 4, 5])

    def test_a_neuron_moves_missing_biases_up_too(self):
        graph = small(biases=[0.0, 0.0, 0.3], without_bias=[2, 3])
        assert graph.with_neuron(3, "silu", 0.7, [Edge(0, 3, 1.5), Edge(3, 5, 2.5)]).without_bias == (2, 4)

    @given(seed=st.integers(0, 10**6), data=st.data())
    def test_without_parameters_is_with_zeros_in_their_places(self, seed, data, untidy_graph, three_inputs):
        graph = untidy_graph(seed)
        places = np.array(data.draw(st.lists(st.integers(0, graph.num_parameters - 1), unique=True)), dtype=np.int64)
        parameters = graph.parameters
        parameters[places] = 0
        smaller = graph.without(places)
        assert smaller.num_parameters == graph.num_parameters - len(places)
        expected = evaluate_by_neuron(graph.with_parameters(parameters), three_inputs)
        np.testing.assert_allclose(evaluate_by_neuron(smaller, three_inputs), expected, atol=1e-10)

    @given(seed=st.integers(0, 10**6))
    def test_parameters_come_back(self, seed, untidy_graph):
        graph = untidy_graph(seed)
        assert graph.with_parameters(graph.parameters) == graph

    def test_a_neuron_without_outgoing_weight_changes_nothing(self, three_inputs):
        graph = Graph.layered((3, 4, 2), rng=np.random.default_rng(0))
        grown = graph.with_neuron(5, "sin", 0.3, [Edge(1, 5, 1.0), Edge(5, 8, 0.0)])
        np.testing.assert_allclose(evaluate_by_neuron(grown, three_inputs), evaluate_by_neuron(graph, three_inputs))

    @given(seed=st.integers(0, 10**6))
    def test_rescaled_graph_takes_raw_numbers(self, seed, untidy_graph, three_inputs):
        graph = untidy_graph(seed)
        centre, scale, shift, stretch = np.array([1.0, -2, 3]), np.array([2.0, 0.5, 4]), np.array([5.0, 6]), 7.0
        raw = graph.rescaled(centre, scale, shift, stretch)
        expected = shift + stretch * evaluate_by_neuron(graph, (three_inputs - centre) / scale)
        np.testing.assert_allclose(evaluate_by_neuron(raw, three_inputs), expected, atol=1e-10)
        assert (raw.sources.tolist(), raw.targets.tolist()) == (graph.sources.tolist(), graph.targets.tolist())

    def test_rescaling_gives_a_bias_where_a_centre_goes(self):
        graph = small(biases=[0.0, 0.0, 0.3], without_bias=[2, 3])  # 0 feeds 2, 1 and 2 feed 3
        assert graph.rescaled([0.0, 0.0], 2.0, 1.0).without_bias == (2, 3)
        assert graph.rescaled([0.0, 5.0], 2.0, 1.0).without_bias == (2,)
        assert graph.rescaled([5.0, 0.0], 2.0, 1.0).without_bias == (3,)

    def test_rescaling_gives_an_output_a_bias_where_targets_were_shifted(self):
        graph = small(biases=[0.1, 0.2, 0.0], without_bias=[4])
        assert graph.rescaled(0.0, 2.0, 0.0, 3.0).without_bias == (4,)
        assert graph.rescaled(0.0, 2.0, 1.0, 3.0).without_bias == ()
