import re

import numpy as np
import pytest
import sympy

from modicum.graphs.evaluation import evaluate
from modicum.graphs.formula import make_formula
from modicum.graphs.graph import Graph

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(4))
def test_closed_formula_gives_the_values_of_the_graph(random_graph, seed):
    graph = random_graph(seed, num_hidden=4)  # one neuron of each activation; with 6, SymPy takes seconds
    inputs = np.random.default_rng(seed).standard_normal((5, 4))
    formula = make_formula(graph, NAMES, ("y",))
    function = sympy.lambdify(formula.inputs, formula.closed(), modules="numpy")
    values = [function(*row)[0] for row in inputs]
    np.testing.assert_allclose(values, evaluate(graph, inputs)[:, 0], rtol=0, atol=1e-10)


def test_lines_define_each_neuron_before_it_is_used():
    graph = Graph(2, 1, ("tanh",), np.array([0, 2]), np.array([2, 3]), np.array([0.5, 2.0]), np.array([0.25, -1.0]))
    assert make_formula(graph, ("width", "height"), ("area",)).lines() == [
        "h1 = tanh(0.5*width + 0.25)",
        "area = 2.0*h1 - 1.0",
    ]


def test_latex_has_the_same_lines():
    graph = Graph(1, 1, (), np.array([0]), np.array([1]), np.array([0.5]), np.array([0.25]))
    assert make_formula(graph, ("x",), ("y",)).latex() == ["y = 0.5 x + 0.25"]


def test_neurons_get_another_letter_where_a_column_has_their_name():
    graph = Graph(1, 1, ("sin",), np.array([0, 1]), np.array([1, 2]), np.array([1.0, 1.0]), np.array([0.0, 0.0]))
    assert make_formula(graph, ("h1",), ("y",)).lines()[0] == "n1 = sin(1.0*h1)"


def test_several_outputs_have_a_line_each(random_graph):
    formula = make_formula(random_graph(0, num_outputs=3), NAMES, ("u", "v", "w"))
    assert [str(symbol) for symbol, _ in formula.outputs] == ["u", "v", "w"]
    assert len(formula.closed()) == 3


def test_wrong_number_of_names_is_refused(random_graph):
    with pytest.raises(ValueError, match="4 inputs and 1 outputs needs as many names, got 3 and 1"):
        make_formula(random_graph(0), NAMES[:3], ("y",))


def test_missing_biases_leave_nothing_behind():
    graph = Graph(1, 1, ("tanh",), [0, 1], [1, 2], [0.5, 2.0], [0.0, 0.0], without_bias=(1, 2))
    assert make_formula(graph, ("x",), ("y",)).lines() == ["h1 = tanh(0.5*x)", "y = 2.0*h1"]


HOSTILE = (
    "temp_Annual_%",
    "cost_$&more",
    "a#b",
    "[x^2]",
    r"\\in{}~put",
    "gamma",
    "x|y<z>",
    "a = b",
    "é\x00 \n!",
    "h2",
    "q",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_latex_are_escaped(name):
    graph = Graph(1, 1, ("tanh",), np.array([0, 1]), np.array([1, 2]), np.array([0.5, 1.0]), np.array([0.25, 0.0]))
    for lines in (
        make_formula(graph, (name,), ("y",)).latex(relation="&="),
        make_formula(graph, ("x",), (name + "=1",)).latex(relation="&="),
    ):
        for line in lines:
            texts = re.findall(r"\\text\{((?:[^{}\\]|\\[a-z]+\{\}|\\[#$%&_{}])*)\}", line)
            rest = re.sub(r"\\text\{((?:[^{}\\]|\\[a-z]+\{\}|\\[#$%&_{}])*)\}", "N", line)
            assert re.fullmatch(r"[A-Za-z0-9_{}. &=+()\\-]*", rest), line  # numbers, neurons and tanh
            assert rest.count("&") == 1
            assert rest.count("{") == rest.count("}")
            for text in texts:
                plain = re.sub(r"\\text[a-z]+\{\}|\\[#$%&_{}]", "", text)
                assert not set(plain) & set('#$%&_{}~^\\<>|"\n\x00'), text
