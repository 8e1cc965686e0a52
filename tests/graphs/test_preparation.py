import numpy as np
import pytest
from PIL import Image

from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.preparation import _standard, prepare
from modicum.graphs.recipe import GraphsRecipe, ImageOptions, TableOptions
from modicum.storage.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture
def table(tmp_path):
    """Fifty rows: y is 100 + 20 a - 3 b, c says whether a is positive."""
    pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")
    a, b = RNG.standard_normal(50), 1000 + 5 * RNG.standard_normal(50)
    frame = pd.DataFrame({"a": a, "b": b, "c": np.where(a > 0, "yes", "no"), "y": 100 + 20 * a - 3 * b})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return str(tmp_path / "t.csv")


@pytest.fixture
def picture(tmp_path):
    """A file of 200x140 random pixels."""
    Image.fromarray(RNG.integers(0, 256, (140, 200), np.uint8)).save(tmp_path / "p.png")
    return str(tmp_path / "p.png")


def test_graph_on_standardised_points_is_the_same_on_raw_ones(table):
    prepared = prepare(GraphsRecipe(data=table, target="y", max_error=1))
    graph = Graph.layered((len(prepared.centre), 3, 1), rng=np.random.default_rng(0))
    inputs = prepared.parts["test"].inputs
    expected = prepared.target_centre + prepared.target_scale * evaluate(graph, prepared.standardised(inputs))
    np.testing.assert_allclose(evaluate(prepared.raw(graph), inputs), expected, rtol=0, atol=1e-9)


def test_error_and_loss_belong_together(table):
    prepared = prepare(GraphsRecipe(data=table, target="y", max_error=1))
    assert prepared.error_of(prepared.loss_of(0.5)) == pytest.approx(0.5)
    assert prepared.loss_of(prepared.target_scale) == pytest.approx(1.0)


def test_rows_that_judge_are_fitted_where_they_need_not_judge(table):
    sizes = {
        bound_on: {n: len(p) for n, p in prepare(GraphsRecipe(data=table, bound_on=bound_on)).parts.items()}
        for bound_on in ("training", "validation")
    }
    assert sizes == {
        "training": {"train": 40, "test": 10},
        "validation": {"train": 30, "validation": 10, "test": 10},
    }


def test_target_is_the_last_column_unless_it_is_named(table):
    assert prepare(GraphsRecipe(data=table)).encoding.target == "y"
    assert prepare(GraphsRecipe(data=table, target="a")).encoding.target == "a"


def test_classes_become_probabilities(table):
    prepared = prepare(GraphsRecipe(data=table, target="c", table=TableOptions(ignore=("y",))))
    targets = prepared.standardised_targets(prepared.parts["train"].targets)
    assert prepared.encoding.outputs == ("c=no", "c=yes")
    assert targets.sum(axis=1).tolist() == [1.0] * len(targets)
    assert prepared.loss_of(0.3) == prepared.error_of(0.3) == 0.3


def test_picture_becomes_a_function(picture):
    prepared = prepare(GraphsRecipe(data=picture, image=ImageOptions(side=20)))
    assert prepared.size == (14, 20)
    assert {name: len(part) for name, part in prepared.parts.items()} == {"train": 280, "test": 247}
    assert prepared.encoding.features == ("x", "y")


def test_next_pixels_are_divided_by_squares(picture):
    recipe = GraphsRecipe(data=picture, problem="next-pixel", bound_on="validation")
    parts = prepare(recipe).parts
    assert list(parts)[:3] == ["train", "validation", "test"]
    everything = {
        name: prepare(GraphsRecipe(data=picture, problem="next-pixel")).parts[name]
        for name in parts
        if name != "validation"
    }
    assert len(everything["train"]) == len(parts["train"]) + len(parts["validation"])
    np.testing.assert_array_equal(everything["test"].inputs, parts["test"].inputs)


def test_next_pixels_are_drawn_where_there_are_more_than_wanted(picture):
    recipe = GraphsRecipe(data=picture, problem="next-pixel", image=ImageOptions(max_points=500))
    assert len(prepare(recipe).parts["train"]) == 500


def test_next_pixels_are_tested_on_other_photographs_too(picture):
    pytest.importorskip("skimage", reason="the graphs extra is not installed")
    assert list(prepare(GraphsRecipe(data=picture, problem="next-pixel")).parts) == ["train", "test", "coins", "moon"]
    assert list(prepare(GraphsRecipe(data="moon", problem="next-pixel")).parts) == ["train", "test", "coins"]


def test_picture_with_too_few_squares_to_judge_is_refused(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (64, 190), np.uint8)).save(tmp_path / "p.png")
    recipe = GraphsRecipe(data=str(tmp_path / "p.png"), problem="next-pixel", bound_on="validation")
    with pytest.raises(DataError, match="the picture has 2 black squares of 64 px, of which every third judges"):
        prepare(recipe)


def test_column_that_differs_in_no_training_row_is_left_out(tmp_path):
    flow = np.full(200, 1.1)
    flow[80] = 2.5  # one row, and the search for a seed by which it is not fitted
    lines = [f"{n % 7},{value},{n % 7 * 2.5}" for n, value in enumerate(flow)]
    (tmp_path / "t.csv").write_text("a,flow,y\n" + "\n".join(lines) + "\n")
    recipes = [GraphsRecipe(data=str(tmp_path / "t.csv"), max_error=1, seed=seed) for seed in range(12)]
    found = [[column.name for column in prepare(recipe).encoding.columns] for recipe in recipes]
    assert ["a"] in found
    assert ["a", "flow"] in found


def test_numbers_constant_but_for_rounding_are_divided_by_1():
    assert _standard(np.full((199, 1), 1.1))[1].tolist() == [1.0]
    assert _standard(np.linspace(0, 1e-9, 9)[:, None])[1][0] < 1e-9
