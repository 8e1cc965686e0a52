import numpy as np
import pytest
from PIL import Image

from modicum import verbs
from modicum.graphs.predictor import TablePrediction
from modicum.imaging.files import Failure
from modicum.storage.errors import DataError

pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")


def test_rows_of_a_table_are_predicted_and_judged(table_run, mixed_table):
    found = verbs.predictor(table_run.path)(mixed_table)
    assert len(found.values) == 120
    assert found.rmse == pytest.approx(np.sqrt(np.mean((found.values - pd.read_csv(mixed_table)["y"]) ** 2)), abs=1e-9)
    assert "120 rows, y from" in str(found)
    assert f"root mean squared error {found.rmse:.6g}" in str(found)


def test_data_frame_gives_what_its_file_gives(table_run, mixed_table):
    tool = verbs.predictor(table_run.path)
    frame = pd.read_csv(mixed_table)
    np.testing.assert_array_equal(tool(frame).values, tool(mixed_table).values)
    assert tool(frame.drop(columns="y")).rmse is None


def test_classes_are_predicted_with_probabilities(class_run, mixed_table):
    found = verbs.predictor(class_run.path)(mixed_table)
    assert set(found.values) <= {"big", "small"}
    assert ((found.probabilities >= 0.5) & (found.probabilities <= 1)).all()
    assert found.share_wrong == np.mean(found.values != pd.read_csv(mixed_table)["kind"])
    assert set(found.to_json()) == {"name", "target", "share_wrong", "values", "probabilities"}


def test_predicted_table_is_written(class_run, mixed_table, tmp_path):
    found = verbs.predictor(class_run.path)(mixed_table)
    written = pd.read_csv(found.save(tmp_path)["table"])
    assert list(written) == ["predicted kind", "probability"]
    assert written["predicted kind"].tolist() == found.values.tolist()
    np.testing.assert_array_equal(written["probability"], found.probabilities)


def test_function_is_drawn_at_the_size_of_a_picture(picture_runs):
    found = verbs.predictor(picture_runs["image-function"].path)(np.full((30, 40, 3), 128, np.uint8))
    assert found.predicted.shape == (30, 40)
    assert found.rmse == pytest.approx(np.sqrt(np.mean((found.predicted - 128 / 255) ** 2)))


def test_function_can_be_asked_for_places(picture_runs):
    tool = verbs.predictor(picture_runs["image-function"].path)
    corner = tool({"x": [-2.0], "y": [-2.0]}).values[0]
    assert corner == pytest.approx(tool(np.zeros((30, 40), np.uint8)).predicted[0, 0])


def test_next_pixels_of_a_picture_are_predicted(picture_runs, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(100, 120, (20, 30), np.uint8))
    found = verbs.predictor(picture_runs["next-pixel"].path)(picture)
    assert found.predicted.shape == (20, 30)
    assert 3 < found.bits_per_pixel < 6  # noise of 20 levels cannot be predicted: log2(20) is 4.3
    files = found.save(tmp_path)
    with Image.open(files["predicted"]) as predicted, Image.open(files["residual"]) as residual:
        assert predicted.size == residual.size == (30, 20)


def test_constant_picture_leaves_nothing_to_be_said(picture_runs):
    tool = verbs.predictor(picture_runs["next-pixel"].path)
    assert tool(np.full((10, 10), 77, np.uint8)).bits_per_pixel == 0


def test_picture_for_a_graph_of_tables_is_refused(table_run, noise, tmp_path):
    noise(0).save(tmp_path / "p.png")
    tool = verbs.predictor(table_run.path)
    with pytest.raises(DataError, match="it is no table: its name should end in one of"):
        tool(tmp_path / "p.png")
    with pytest.raises(DataError, match="predicts rows of a table, not pictures"):
        tool(noise(0))


def test_table_that_lacks_a_column_costs_only_itself(table_run, mixed_table, tmp_path):
    (tmp_path / "short.csv").write_text("size (mm),colour\n1,red\n")
    found = list(verbs.predictor(table_run.path).predict_all([tmp_path / "short.csv", mixed_table]))
    assert isinstance(found[0], Failure)
    assert "the table has no column 'weight'" in str(found[0])
    assert len(found[1].values) == 120


def test_class_that_looks_like_a_formula_is_text_in_the_written_table(tmp_path):
    found = TablePrediction("t.csv", "kind", np.array(["=1+1", "cat"], dtype=object), np.array([0.9, 0.8]), None, None)
    written = pd.read_csv(found.save(tmp_path)["table"])
    assert written["predicted kind"].tolist() == ["'=1+1", "cat"]
