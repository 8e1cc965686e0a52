import json

import networkx as nx
import numpy as np
import pytest

from modicum import verbs
from modicum.exporting import ExportError
from modicum.graphs.evaluation import evaluate
from modicum.graphs.export import SOURCES, check_export
from modicum.graphs.runner import OnnxGraph
from modicum.storage.errors import DataError

pytest.importorskip("onnxruntime", reason="the export extra is not installed")
pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")


@pytest.fixture(scope="module")
def exported(table_run, tmp_path_factory):
    return verbs.export(table_run.path, out=tmp_path_factory.mktemp("export") / "out")


def test_onnx_gives_the_predictions_of_a_table(exported, table_run, mixed_table):
    expected = verbs.predictor(table_run.path)(mixed_table).values
    found = OnnxGraph(exported).predict(pd.read_csv(mixed_table))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_python_source_gives_the_predictions_of_a_table(exported, table_run, mixed_table):
    space = {}
    exec(compile((exported / "predict.py").read_text(), "predict.py", "exec"), space)  # what a user would import
    rows = pd.read_csv(mixed_table)[["size (mm)", "weight", "colour"]].itertuples(index=False)
    expected = verbs.predictor(table_run.path)(mixed_table).values
    np.testing.assert_allclose([space["predict"](*row) for row in rows], expected, rtol=0, atol=1e-9)


def test_folder_holds_every_form_and_can_be_replaced(exported, table_run):
    verbs.export(table_run.path, out=exported)
    assert {file.name for file in exported.glob("[!.]*")} == {"graph.onnx", "manifest.json", *SOURCES}
    names = json.loads((exported / "manifest.json").read_text())["details"]["inputs"]["names"]
    assert names[:2] == ["size (mm)", "weight"]
    graph = verbs.load(table_run.path).graph
    assert nx.read_graphml(exported / "graph.graphml").number_of_edges() == graph.num_edges


def test_formula_has_names_in_brackets_where_they_are_no_words(exported):
    assert "*[size (mm)]" in (exported / "formula.txt").read_text()


def test_export_that_answers_differently_is_found(exported, table_run):
    network = verbs.load(table_run.path)
    network.biases.data += 1e-3 * network.spread.abs().max()
    with pytest.raises(ExportError, match="output 'outputs' of the exported network differs by"):
        check_export(network, exported)


def test_export_of_classes_gives_their_scores(class_run, tmp_path):
    folder = verbs.export(class_run.path, out=tmp_path / "out")
    runner = OnnxGraph(folder)
    inputs = np.random.default_rng(0).standard_normal((7, len(runner.encoding.features)))
    np.testing.assert_allclose(runner.run(inputs), evaluate(verbs.load(class_run.path).graph, inputs), atol=1e-9)
    assert "scores of the classes, the greatest wins" in (folder / "predict.c").read_text()


def test_wrong_input_is_refused(exported):
    runner = OnnxGraph(exported)
    with pytest.raises(ValueError, match=r"inputs must be \(N, 5\) float64, got \(2, 3\) float64"):
        runner.run(np.zeros((2, 3)))
    with pytest.raises(DataError, match="the table has no column 'size \\(mm\\)'"):
        runner.predict({"weight": [1.0]})


def test_onnx_takes_odd_cells_as_the_predictor_does(exported, table_run):
    cells = {
        "size (mm)": [1.0, None, 1.0, np.inf, 1.0, "?", 2.0],
        "weight": [1000.0, 1000.0, None, 1000.0, "n/a", 1000.0, 1000.0],
        "colour": ["red", "red", "red", "red", "blue", "blue", "purple"],
    }
    expected = verbs.predictor(table_run.path)(cells).values
    assert np.isnan(expected).tolist() == [False, True, False, True, False, True, True]
    np.testing.assert_allclose(OnnxGraph(exported).predict(cells)[:, 0], expected, rtol=0, atol=1e-9)
    assert "the row has no answer: NaN" in json.loads((exported / "manifest.json").read_text())["details"]["policy"]
