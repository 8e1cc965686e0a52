import numpy as np
import pytest

from modicum.graphs.encoding import Column, Encoding
from modicum.graphs.recipe import TableOptions
from modicum.graphs.tables import learn_table, read_table, split_rows
from modicum.storage.errors import DataError

pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")
OPTIONS = TableOptions()


@pytest.fixture
def frame():
    """Twenty rows with numbers, texts, codes, a constant column, and some empty cells."""
    return pd.DataFrame(
        {
            "size": [np.nan, *range(19)],
            "colour": ["red", "green"] * 9 + ["blue", None],
            "old": [True, False] * 10,
            "unit": ["mm"] * 20,
            "y": np.linspace(0, 1, 20),
        }
    )


def test_columns_are_understood(frame):
    learned = learn_table(frame, "y", OPTIONS)
    assert learned.encoding.columns == (
        Column("size", fill=9.0),
        Column("colour", ("blue", "green", "missing", "red")),
        Column("old", ("False", "True")),
    )
    assert learned.encoding.features == (
        "size",
        "colour=blue",
        "colour=green",
        "colour=missing",
        "colour=red",
        "old=True",
    )


def test_rows_become_numbers(frame):
    samples = learn_table(frame, "y", OPTIONS).samples
    np.testing.assert_array_equal(samples.inputs[0], [9, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(samples.inputs[-1], [18, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(samples.targets, frame["y"])


def test_what_was_filled_or_left_out_is_told(frame):
    frame.loc[4, "y"] = np.nan
    learned = learn_table(frame, "y", OPTIONS)
    assert learned.notes == (
        "1 of 20 rows has no y: left out",
        "column 'size' has 1 empty cell: taken as its mean, 9.333",
        "column 'colour' has 1 empty cell: taken as a category of their own, 'missing'",
        "column 'unit' says the same in every row: left out",
    )
    assert len(learned.rows) == 19


def test_rows_with_empty_cells_can_be_dropped(frame):
    learned = learn_table(frame, "y", TableOptions(missing="drop"))
    assert learned.rows.tolist() == list(range(1, 19))
    assert learned.encoding.columns[0] == Column("size")


def test_empty_cells_can_be_refused(frame):
    with pytest.raises(
        DataError, match=r"column .size. has 1 empty cell, 'nan' in row 1: fill them, or choose --table.missing"
    ):
        learn_table(frame, "y", TableOptions(missing="refuse"))


def test_numbers_can_be_codes(frame):
    frame["size"] = [1, 2] * 10
    assert learn_table(frame, "y", TableOptions(categories=("size",))).encoding.columns[0] == Column("size", ("1", "2"))


def test_target_of_texts_makes_classes(frame):
    learned = learn_table(frame, "colour", OPTIONS)
    assert learned.encoding.outputs == ("colour=blue", "colour=green", "colour=red")
    assert learned.samples.targets.tolist() == [2, 1] * 9 + [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": 1.0}, "'y' is 1 in every row: there is nothing to predict"),
        ({"size": np.inf}, "column 'size' is infinite in row 1: remove that row"),
        ({"colour": [f"n{row}" for row in range(60)][:20] * 1}, None),
    ],
)
def test_column_that_cannot_be_used_is_named(frame, change, message):
    for name, value in change.items():
        frame[name] = value
    if message is None:  # twenty texts are few enough
        assert len(learn_table(frame, "y", OPTIONS).encoding.columns[1].features) == 20
        return
    with pytest.raises(DataError, match=message):
        learn_table(frame, "y", OPTIONS)


def test_column_of_names_is_refused():
    frame = pd.DataFrame({"id": [f"n{row}" for row in range(60)], "y": range(60)})
    with pytest.raises(DataError, match=r"column 'id' holds 60 different texts such as 'n0'.*--table.ignore"):
        learn_table(frame, "y", OPTIONS)
    with pytest.raises(DataError, match="no column is left to predict 'y' from"):
        learn_table(frame, "y", TableOptions(ignore=("id",)))


def test_target_that_is_not_there_is_refused_with_those_that_are(frame):
    with pytest.raises(DataError, match=r"no column 'z': it has 'size', 'colour'"):
        learn_table(frame, "z", OPTIONS)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet", "german.csv"])
def test_tables_are_read_whatever_their_form(frame, tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name == "german.csv":
        frame.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig")
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    expected, found = learn_table(frame, "y", OPTIONS), learn_table(read_table(path), "y", OPTIONS)
    assert found.encoding == expected.encoding
    np.testing.assert_allclose(found.samples.inputs, expected.samples.inputs)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "does not exist"),
        ("table.xlsx", b"PK", "is no table: its name should end in one of"),
        ("empty.csv", b"", "is empty: the first line should name the columns"),
        ("rows.csv", b"a,b\n", "holds no rows"),
        ("broken.parquet", b"PAR1nonsense", "cannot be read as a table"),
        ("twice.csv", b"a , a,b\n1,2,3\n", "several columns of the name 'a'"),
        ("alike.csv", b'"a";b;a\n1;2;3\n', "several columns of the name 'a'"),
        ("latin.csv", "a,b\nfünf,2\n".encode("latin-1"), "cannot be read as a table"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name)


def test_parts_share_no_row_and_miss_none():
    parts = split_rows(50, OPTIONS, np.random.default_rng(0))
    assert {name: len(rows) for name, rows in parts.items()} == {"validation": 10, "test": 10, "train": 30}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(50))


def test_cell_that_training_never_saw_is_refused_at_prediction():
    encoding = Encoding((Column("size"), Column("colour", ("green", "red"))), "y")
    with pytest.raises(
        DataError, match=r"cannot be used in 1 row: 'blue' in row 1, which training never saw: it knows 'green', 'red'"
    ):
        encoding.encode({"size": [1.0], "colour": ["blue"]})
    with pytest.raises(
        DataError, match="'size' cannot be used in 1 row: 1 empty cell, from row 2 on, where training had none"
    ):
        encoding.encode({"size": [1.0, np.nan], "colour": ["red", "red"]})
    with pytest.raises(
        DataError, match="column 'size' should hold numbers, but most of its cells do not: 'large' in row 1"
    ):
        encoding.encode({"size": ["large"], "colour": ["red"]})
    with pytest.raises(DataError, match="the table has no column 'colour': it needs 'size', 'colour'"):
        encoding.encode({"size": [1.0]})


def test_columns_that_a_graph_does_not_read_are_not_asked_for():
    encoding = Encoding((Column("size"), Column("colour", ("blue", "green", "red")), Column("age")), "y")
    inputs = encoding.encode({"colour": ["red", "blue"]}, used=np.array([False, False, False, True, False]))
    assert inputs.tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    with pytest.raises(DataError, match="the table has no column 'age': it needs 'age'"):
        encoding.encode({"colour": ["red"]}, used=np.array([False, False, False, False, True]))
    assert encoding.encode({"size": [7.0, 8.0]}, used=np.zeros(5, bool)).tolist() == [[0] * 5] * 2


def test_encoding_survives_json():
    encoding = Encoding((Column("size", fill=1.5), Column("colour", ("green", "red"))), "y", ("no", "yes"))
    assert Encoding.from_json(encoding.to_json()) == encoding
