import ctypes
import math
import shutil
import subprocess

import numpy as np
import pytest

from modicum.graphs.encoding import Column, Encoding
from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.source import to_c, to_python

NUMBERS = Encoding.of_numbers(("a", "b", "c", "d"), "y")
MIXED = Encoding(
    (
        Column("size (mm)", fill=2.5),
        Column("colour", ("blue", 'r"ed\\ é', "green")),
        Column("is old", ("False", "True")),
        Column("class"),
    ),
    "y",
)
MIXED_ROWS = {
    "size (mm)": [1.0, math.nan, 3.0, 4.0],
    "colour": ["blue", 'r"ed\\ é', "green", "green"],
    "is old": ["True", "False", "False", "True"],
    "class": [0.5, 1.5, -2.0, 0.0],
}


def python_function(graph, encoding):
    space = {}
    exec(compile(to_python(graph, encoding), "source", "exec"), space)  # what a user would import
    return space["predict"]


def c_function(graph, encoding, folder, standard="c99"):
    compiler, suffix = ("c++", "cpp") if "++" in standard else ("cc", "c")
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    source = folder / f"model.{suffix}"
    source.write_text(to_c(graph, encoding), encoding="utf-8")
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(folder / "model.so")]
    subprocess.run([compiler, *flags, str(source), "-lm"], check=True)
    function = ctypes.CDLL(str(folder / "model.so")).predict
    function.restype = None
    kinds = [ctypes.c_double if column.categories is None else ctypes.c_char_p for column in encoding.columns]

    def call(*cells):
        outputs = (ctypes.c_double * graph.num_outputs)()
        function(
            *(kind(cell.encode() if isinstance(cell, str) else cell) for kind, cell in zip(kinds, cells, strict=True)),
            outputs,
        )
        return list(outputs)

    return call


@pytest.mark.parametrize("seed", range(4))
def test_python_source_gives_the_predictions(random_graph, seed):
    graph = random_graph(seed)
    inputs = 3 * np.random.default_rng(seed).standard_normal((20, 4))
    predict = python_function(graph, NUMBERS)
    np.testing.assert_allclose([predict(*row) for row in inputs], evaluate(graph, inputs)[:, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_c_source_gives_the_predictions(random_graph, seed, tmp_path):
    graph = random_graph(seed, num_outputs=2)
    encoding = Encoding.of_numbers(("a", "b", "c", "d"), "y")
    encoding = Encoding(encoding.columns, "y", ("no", "yes"))
    inputs = 3 * np.random.default_rng(seed).standard_normal((20, 4))
    predict = c_function(graph, encoding, tmp_path)
    np.testing.assert_allclose([predict(*row) for row in inputs], evaluate(graph, inputs), rtol=0, atol=1e-9)


def test_columns_of_texts_and_empty_cells_are_taken_as_in_training(random_graph, tmp_path):
    graph = random_graph(0, num_inputs=len(MIXED.features))
    expected = evaluate(graph, MIXED.encode({name: np.array(cells, object) for name, cells in MIXED_ROWS.items()}))
    rows = list(zip(*MIXED_ROWS.values(), strict=True))
    predict = python_function(graph, MIXED)
    np.testing.assert_allclose([predict(*row) for row in rows], expected[:, 0], rtol=0, atol=1e-12)
    compiled = c_function(graph, MIXED, tmp_path)
    np.testing.assert_allclose([compiled(*row) for row in rows], expected, rtol=0, atol=1e-12)


def test_names_that_are_words_of_the_language_or_alike_get_their_own(random_graph):
    encoding = Encoding.of_numbers(("for", "a b", "a-b", "1st"), "y")
    assert "predict(for_2, a_b, a_b_2, column_1st)" in to_python(random_graph(0), encoding)
    assert "predict(double for_2, double a_b, double a_b_2, double column_1st," in to_c(random_graph(0), encoding)


@pytest.mark.parametrize("standard", ["c99", "gnu17", "c++11", "gnu++20"])
@pytest.mark.parametrize("names", [("unix", "NAN", "class__", "NULL"), ("new", "true", "and", "__template")])
def test_names_that_compilers_and_headers_define_compile(random_graph, tmp_path, names, standard):
    graph = random_graph(0)
    inputs = np.random.default_rng(0).standard_normal((1, 4))
    predict = c_function(graph, Encoding.of_numbers(names, "y"), tmp_path, standard)
    np.testing.assert_allclose([predict(*inputs[0])], evaluate(graph, inputs), rtol=0, atol=1e-9)


def test_text_that_means_missing_is_taken_as_an_empty_cell(random_graph, tmp_path):
    encoding = Encoding((Column("colour", ("blue", "missing", "red")),), "y")
    graph = random_graph(0, num_inputs=3)
    expected = evaluate(graph, encoding.encode({"colour": np.array(["missing", None, "red"], object)}))
    for function in (python_function(graph, encoding), c_function(graph, encoding, tmp_path)):
        found = [np.ravel(function(text))[0] for text in ("missing", None, "red")]
        np.testing.assert_allclose(found, expected[:, 0], rtol=0, atol=1e-12)


FILLED = Encoding(
    (
        Column("size (mm)", fill=2.5),
        Column("class"),
        Column("colour", ("blue", "missing", "red")),
        Column("is old", ("False", "True")),
        Column("day", fill=19000.25, is_date=True),
    ),
    "y",
    missing_words=("unknown", 'n"a'),
)
GOOD = (1.5, -0.5, "red", "True", 19358.0)
ODD_CELLS = {
    "size (mm)": (None, math.nan, math.inf, -math.inf, 3, 0.0),
    "class": (None, math.nan, math.inf, -0.25),
    "colour": (None, "", "missing", "unknown", 'n"a', "NA", "purple", "Red", "blue"),
    "is old": (None, "", "missing", "unknown", "NA", "False"),
    "day": (None, math.nan, math.inf, 0.0),
}


@pytest.mark.parametrize(("num_outputs", "standard"), [(1, "c99"), (2, "c++11")])
def test_cells_that_say_nothing_or_nothing_known_are_taken_alike_everywhere(
    random_graph, tmp_path, num_outputs, standard
):
    graph = random_graph(3, num_inputs=len(FILLED.features), num_hidden=12, num_outputs=num_outputs)
    assert graph.used_inputs.all()
    rows = [GOOD]
    for place, cells in enumerate(ODD_CELLS.values()):
        rows += [(*GOOD[:place], cell, *GOOD[place + 1 :]) for cell in cells]
    columns = {column.name: list(cells) for column, cells in zip(FILLED.columns, zip(*rows, strict=True), strict=True)}
    read = FILLED.read(columns)
    expected = evaluate(graph, read.inputs)
    expected[~read.is_usable] = np.nan
    assert 10 < read.is_usable.sum() < len(rows) - 10
    predict, compiled = python_function(graph, FILLED), c_function(graph, FILLED, tmp_path, standard)
    found = np.array([predict(*row) for row in rows]).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    as_c = [[math.nan if cell is None and place not in (2, 3) else cell for place, cell in enumerate(r)] for r in rows]
    np.testing.assert_allclose([compiled(*row) for row in as_c], expected, rtol=1e-12, atol=1e-12)


def test_python_source_takes_what_pandas_calls_missing(random_graph):
    pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")
    graph = random_graph(3, num_inputs=len(FILLED.features), num_hidden=12)
    predict = python_function(graph, FILLED)
    expected = predict(None, *GOOD[1:2], None, *GOOD[3:])
    assert predict(pd.NA, *GOOD[1:2], pd.NA, *GOOD[3:]) == expected
    assert predict(np.float64("nan"), *GOOD[1:2], math.nan, *GOOD[3:]) == expected
    assert predict(1.5, -0.5, "red", True, 19358.0) == predict(*GOOD)


def test_python_source_reads_texts_as_numbers_where_the_predictor_does(random_graph):
    graph = random_graph(3, num_inputs=len(FILLED.features), num_hidden=12)
    predict = python_function(graph, FILLED)
    for text in ("1_000", "1e3", " 2.5 ", "err", "+.5"):
        rows = [(text, *GOOD[1:]), GOOD, GOOD]
        names = [column.name for column in FILLED.columns]
        read = FILLED.read({name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)})
        np.testing.assert_allclose(predict(text, *GOOD[1:]), evaluate(graph, read.inputs)[0, 0], rtol=1e-12)


def test_columns_that_the_graph_does_not_read_are_not_looked_at(tmp_path):
    encoding = Encoding((Column("a"), Column("colour", ("blue", "red"))), "y")
    graph = Graph(2, 1, (), np.array([0]), np.array([2]), np.ones(1), np.zeros(1))
    assert python_function(graph, encoding)(2.0, "purple") == 2.0
    assert c_function(graph, encoding, tmp_path)(2.0, None) == [2.0]
    assert encoding.read({"a": [2.0]}, graph.used_inputs).is_usable.all()


def test_sources_state_what_becomes_of_odd_cells(random_graph):
    graph = random_graph(3, num_inputs=len(FILLED.features), num_hidden=12)
    for source in (to_c(graph, FILLED), to_python(graph, FILLED)):
        assert "size_mm: a number; missing is taken as 2.5." in source
        assert "class_2: a number; missing gives no answer." in source
        assert "colour: one of 'blue', 'red' or missing; any other text gives no answer." in source
        assert "is_old: one of 'False', 'True'; missing or any other text gives no answer." in source
        assert "day: days since 1970-01-01 (UTC); missing is taken as 19000.25." in source
        assert "These texts count as missing: 'unknown', 'n\"a'." in source


def test_large_sums_do_not_overflow(tmp_path):
    encoding = Encoding.of_numbers(("x",), "y")
    graph = Graph(1, 1, ("softplus", "silu"), np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3]), np.ones(4), np.zeros(3))
    for function in (python_function(graph, encoding), lambda x: c_function(graph, encoding, tmp_path)(x)[0]):
        assert function(800.0) == pytest.approx(1600.0)
        assert function(-800.0) == pytest.approx(0.0)


def test_target_that_would_end_the_comment_does_not(random_graph):
    assert "*/ evil" not in to_c(random_graph(0), Encoding.of_numbers(("a", "b", "c", "d"), "y */ evil"))
    assert to_python(random_graph(0), Encoding.of_numbers(("a", "b", "c", "d"), "y\nevil()")).startswith(
        f"# {random_graph(0).num_parameters} parameters; output: y evil()"
    )


UNBIASED = Graph(1, 1, ("tanh",), [0, 1, 0], [1, 2, 2], [-0.5, 2.0, -3.0], [0.0, 0.0], without_bias=(1, 2))


def test_missing_biases_leave_nothing_behind():
    encoding = Encoding.of_numbers(("x",), "y")
    python, c = to_python(UNBIASED, encoding), to_c(UNBIASED, encoding)
    assert "h1 = math.tanh(-0.5 * x)\n    return 2.0 * h1 - 3.0 * x\n" in python
    assert "tanh(-0.5 * x);" in c
    assert "outputs[0] = 2.0 * h1 - 3.0 * x;" in c


def test_an_output_that_nothing_feeds_is_0():
    encoding = Encoding.of_numbers(("x",), "y")
    assert python_function(UNBIASED.without(np.arange(3)).canonical(), encoding)(5.0) == 0
