from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from modicum.graphs.encoding import Encoding
from modicum.graphs.graph import Graph
from modicum.graphs.report import graphs_sheet
from modicum.graphs.results import Evaluation, FrontPoint, Method, Pictures, Step

GRAPH = Graph(
    2, 1, ("tanh",), np.array([0, 1, 2]), np.array([2, 3, 3]), np.array([0.5, -1.0, 2.0]), np.array([0.1, 0.2])
)
GREY = np.zeros((4, 6), np.uint8)


def method(name, parameters, train, **changes):
    return Method(name, parameters, {"train": train, "test": 2 * train}, {}, 1.5, **changes)


EVALUATION = Evaluation(
    system="graphs",
    problem="table",
    data="t.csv: y from 2 columns",
    num_points={"train": 1000, "test": 50},
    bound="error at most 0.1 on the training points",
    max_error=0.1,
    judged_on="train",
    graph=GRAPH,
    encoding=Encoding.of_numbers(("a", "b"), "y"),
    input_scale=np.ones(2),
    methods=(
        method("graph", 5, 0.09),
        method("smallest layered network", 10, 0.095, note="hidden layers 3"),
        method("linear regression", 3, 0.2),
        method("always the mean", None, 0.5),
    ),
    front=(FrontPoint(1, 0.5), FrontPoint(3, 0.2), FrontPoint(5, 0.09), FrontPoint(90, 0.01)),
    steps=(Step(0, 0, 0.5, 9, 0.05), Step(0, 3, 1.0, 5, 0.09), Step(1, 0, 0.4, 8, 0.07)),
    formula=("h1 = tanh(0.5*a + 0.1)", "y = 2*h1 - b + 0.2"),
)


def section(sheet, title):
    return next(each for each in sheet.sections if each.title == title)


def test_headline_says_what_is_saved_against_layers():
    graph = replace(EVALUATION.methods[0], errors={"train": 0.09, "test": 0.1})
    assert graphs_sheet(replace(EVALUATION, methods=(graph, *EVALUATION.methods[1:]))).headline == (
        "5 parameters with an error of 0.09, which keeps the bound of 0.1: 50% fewer than the 10 of the smallest "
        "layered network that was found."
    )


def test_headline_tells_an_error_on_test_points_beyond_the_bound():
    assert "keeps the bound of 0.1 (on the test points it is 0.18): 50% fewer" in graphs_sheet(EVALUATION).headline


def test_headline_claims_no_saving_where_the_bound_is_missed():
    missed = replace(EVALUATION, methods=(method("graph", 5, 0.2), *EVALUATION.methods[1:]))
    assert graphs_sheet(missed).headline == ("5 parameters with an error of 0.2, which does not keep the bound of 0.1.")


def test_headline_admits_a_larger_graph():
    larger = replace(EVALUATION, methods=(method("graph", 12, 0.09), *EVALUATION.methods[1:]))
    assert "20% more than the 10 of" in graphs_sheet(larger).headline


def test_table_has_a_row_per_method_and_a_column_per_part():
    table = section(graphs_sheet(EVALUATION), "Size and error")
    assert table.columns == ("method", "parameters", "error, train", "error, test", "CPU s")
    assert table.rows[0].cells == ("graph", "5", "0.09", "0.18", "1.5")
    assert [row.is_ours for row in table.rows] == [True, False, False, False]
    assert "smallest layered network: hidden layers 3." in table.note


def test_classes_have_columns_of_accuracy():
    encoding = Encoding(EVALUATION.encoding.columns, "y", ("no",))
    shares = {"train": 0.9, "test": 0.8}
    classes = replace(
        EVALUATION, encoding=encoding, methods=(replace(EVALUATION.methods[0], accuracies=shares),), max_error=None
    )
    sheet = graphs_sheet(classes)
    assert section(sheet, "Size and error").columns[2:6] == (
        "cross-entropy, train",
        "cross-entropy, test",
        "right, train",
        "right, test",
    )
    assert sheet.headline == "5 parameters with a cross-entropy of 0.09."


@pytest.mark.parametrize("width_in", [3.9, 7.6])
@pytest.mark.parametrize("title", ["Complexity against error", "The graph", "The search"])
def test_plots_are_drawn_on_a_desk_and_on_a_telephone(title, width_in):
    assert isinstance(section(graphs_sheet(EVALUATION), title).draw(width_in), Figure)


def test_front_is_a_staircase_up_to_three_times_the_graph():
    axes = section(graphs_sheet(EVALUATION), "Complexity against error").draw(7.6).axes[0]
    x, y = axes.lines[0].get_data()
    assert list(x) == [1, 3, 3, 5, 5, 15]
    assert list(y) == [0.5, 0.5, 0.2, 0.2, 0.09, 0.09]


def test_front_reaches_to_the_layered_network():
    wide = replace(EVALUATION, methods=(EVALUATION.methods[0], method("smallest layered network", 40, 0.095)))
    axes = section(graphs_sheet(wide), "Complexity against error").draw(7.6).axes[0]
    assert axes.get_xlim()[1] >= 40
    assert "smallest layered network" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_formula_stands_as_rows():
    rows = section(graphs_sheet(EVALUATION), "The formula").rows
    assert [row.cells for row in rows] == [("h1", "tanh(0.5*a + 0.1)"), ("y", "2*h1 - b + 0.2")]


def test_pictures_stand_side_by_side():
    sheet = graphs_sheet(replace(EVALUATION, pictures=Pictures(GREY, GREY, GREY)))
    (strip,) = section(sheet, "Pictures").strips
    captions = [picture.caption for picture in strip.pictures]
    assert captions == ["picture", "graph, 5 parameters", "smallest layered network, 10 parameters"]


def test_figures_are_plain_data():
    figures = graphs_sheet(EVALUATION).figures
    assert figures["graph"] == {"parameters": 5, "edges": 3, "macs": 11, "hidden": 1, "depth": 2, "inputs": ["a", "b"]}
    assert figures["holds"] is True
