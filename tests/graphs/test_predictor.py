import numpy as np
import pytest
from PIL import Image

from modicum import verbs
from modicum.graphs.table import as_table
from modicum.graphs.table_prediction import TablePrediction
from modicum.prediction import Failure
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
    assert set(found.to_json()) == {"name", "target", "share_wrong", "values", "probabilities", "notes"}


def test_predicted_table_is_written(class_run, mixed_table, tmp_path):
    found = verbs.predictor(class_run.path)(mixed_table)
    written = pd.read_csv(found.save(tmp_path)["table"])
    assert list(written) == [*pd.read_csv(mixed_table), "predicted kind", "probability"]
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


def test_row_that_cannot_be_answered_costs_only_itself(table_run, mixed_table, tmp_path):
    lines = mixed_table.read_text().splitlines()
    cells = lines[2].split(",")
    lines[2] = ",".join([*cells[:2], "purple", *cells[3:]])
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    whole = verbs.predictor(table_run.path)(mixed_table)
    found = verbs.predictor(table_run.path)(tmp_path / "new.csv")
    assert np.isnan(found.values[1])
    np.testing.assert_array_equal(np.delete(found.values, 1), np.delete(whole.values, 1))
    assert found.rmse is not None
    assert "1 without an answer" in str(found)
    assert "column 'colour' cannot be used in 1 row: 'purple' in line 3, which training never saw" in str(found)
    assert found.to_json()["values"][1] is None
    assert pd.read_csv(found.save(tmp_path)["table"])["predicted y"].isna().tolist() == [False, True, *[False] * 118]


def test_table_with_such_rows_is_refused_on_request(table_run, mixed_table):
    frame = pd.read_csv(mixed_table).assign(colour="purple")
    frame.loc[3:, "colour"] = "red"
    with pytest.raises(
        DataError, match="'purple' in row 1, 'purple' in row 2, 'purple' in row 3, which training never"
    ):
        verbs.predictor(table_run.path, unseen="refuse")(frame)
    assert np.isnan(verbs.predictor(table_run.path)(frame).values).sum() == 3


def test_class_of_a_row_that_cannot_be_answered_is_none(class_run, mixed_table):
    frame = pd.read_csv(mixed_table)
    frame.loc[0, "size (mm)"] = np.inf
    found = verbs.predictor(class_run.path)(frame)
    assert found.values[0] is None
    assert np.isnan(found.probabilities[0])
    assert found.to_json()["probabilities"][0] is None


def test_cell_without_a_number_is_taken_as_empty_and_named(table_run, mixed_table):
    frame = pd.read_csv(mixed_table)
    expected = verbs.predictor(table_run.path)(frame).values  # the weight of row 4 is empty
    frame["weight"] = frame["weight"].astype(object)
    frame.loc[3, "weight"] = "n/a"
    found = verbs.predictor(table_run.path)(frame)
    np.testing.assert_array_equal(found.values, expected)
    assert found.notes == ("column 'weight' has 1 cell without a number, taken as empty: 'n/a' in row 4",)


@pytest.mark.parametrize("name", ["t.csv", "german.csv", "t.tsv.gz", "t.csv.gz", "t.parquet"])
def test_predictions_are_added_to_the_table_in_its_own_form(table_run, mixed_table, tmp_path, name):
    frame = pd.read_csv(mixed_table).assign(note="kept; as it is").set_index("note")
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    elif name == "german.csv":
        frame.to_csv(tmp_path / name, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    else:
        frame.to_csv(tmp_path / name, sep="\t" if "tsv" in name else ",")
    found = verbs.predictor(table_run.path)(tmp_path / name)
    place = found.save(tmp_path / "out")["table"]
    assert place.name == name.replace(".", "_predicted.", 1)
    if name.endswith("parquet"):
        written = pd.read_parquet(place)
        pd.testing.assert_frame_equal(written.drop(columns="predicted y"), frame)
    else:
        form = {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"} if name == "german.csv" else {}
        written = pd.read_csv(place, **({"sep": "\t"} if "tsv" in name else form))
        assert list(written) == ["note", *frame, "predicted y"]
        assert (written["note"] == "kept; as it is").all()
    np.testing.assert_allclose(written["predicted y"], found.values, rtol=1e-14)
    if name == "german.csv":
        own, added = (file.read_bytes().split(b"\r\n") for file in (tmp_path / name, place))
        assert all(new.startswith(old) for old, new in zip(own, added, strict=True))


def test_table_that_was_predicted_before_gets_another_column(table_run, mixed_table, tmp_path):
    place = verbs.predictor(table_run.path)(mixed_table).save(tmp_path)["table"]
    again = pd.read_csv(verbs.predictor(table_run.path)(place).save(tmp_path / "again")["table"])
    assert list(again)[-2:] == ["predicted y", "predicted y 2"]


def test_large_picture_is_predicted_by_the_strip(picture_runs, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (45, 37, 3), np.uint8)
    for run in picture_runs.values():
        whole = verbs.predictor(run.path)(pixels)
        monkeypatch.setattr("modicum.graphs.photographs.STRIP_PIXELS", 100)
        parts = verbs.predictor(run.path)(pixels)
        monkeypatch.undo()
        np.testing.assert_allclose(parts.predicted, whole.predicted, rtol=0, atol=1e-12)
        assert parts.bits_per_pixel == pytest.approx(whole.bits_per_pixel, abs=1e-12)


def test_class_that_looks_like_a_formula_is_text_in_the_written_table(tmp_path):
    classes, probabilities = np.array(["=1+1", "cat"], dtype=object), np.array([0.9, 0.8])
    found = TablePrediction("t.csv", "kind", classes, probabilities, None, None, as_table({"x": [1.0, 2.0]}))
    written = pd.read_csv(found.save(tmp_path)["table"])
    assert written["predicted kind"].tolist() == ["'=1+1", "cat"]
