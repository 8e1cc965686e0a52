import gzip

import numpy as np
import pytest

from modicum.graphs.column_kinds import flag
from modicum.graphs.encoding import Column
from modicum.graphs.recipe import TableOptions
from modicum.graphs.table import as_table, read_table
from modicum.graphs.tables import learn_table
from modicum.storage.errors import DataError, RecipeError

pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")


def written(folder, text, name="t.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def learned(source, target="y", **options):
    table = TableOptions(**options)
    return learn_table(
        read_table(source, table) if not isinstance(source, dict | pd.DataFrame) else source, target, table
    )


def rows(line, count=20):
    """Rows that differ by their number."""
    return "".join(line(n) + "\n" for n in range(count))


NUMBERS = [round(0.37 * n - 2.1, 2) for n in range(20)]


def test_comma_behind_one_row_is_an_empty_cell_and_shifts_nothing(tmp_path):
    text = "y,a,b\n8.7,8.6,8.5,\n" + rows(lambda n: f"{n},{2 * n}.5,{n % 7}")
    table = read_table(written(tmp_path, text))
    assert [cells[0] for cells in table.columns.values()] == ["8.7", "8.6", "8.5"]


@pytest.mark.parametrize("row", ["1,2,3,4", "1,2", '1,2,"3" 4'])
def test_row_that_does_not_fit_the_header_is_refused_with_its_line(tmp_path, row):
    with pytest.raises(DataError, match="line 4"):
        read_table(written(tmp_path, f"y,a,b\n1,2,3\n\n{row}\n1,2,3\n"))


def test_cell_over_several_lines_does_not_upset_the_numbers_of_lines(tmp_path):
    text = 'text,a,y\n"one\ntwo",1,1\nx,inf,1\n' + rows(lambda n: f"x,{n},{n}")
    with pytest.raises(DataError, match="column 'a' is infinite in line 4"):
        learned(written(tmp_path, text))


def test_numbers_of_rows_are_those_of_the_file_whatever_is_left_out(tmp_path):
    text = "a,y\n" + "1,\n" * 5 + rows(lambda n: f"{n},{n}") + "inf,3\n"
    with pytest.raises(DataError, match="column 'a' is infinite in line 27"):
        learned(written(tmp_path, text))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("hint", ["", "sep={}\r\n"])
def test_marks_are_told_by_the_rows(tmp_path, separator, decimal, hint):
    names = ["a, mean; over|day", "b", "y"] if separator in ",;|" else ["a", "b", "y"]
    quoted = '"a, mean; over|day"' if names[0] != "a" else "a"
    cell = (lambda x: f'"{str(x).replace(".", ",")}"') if decimal == "," else str
    lines = [separator.join([quoted, "b", "y"]), *(separator.join(map(cell, (x, x + 0.5, -x))) for x in NUMBERS)]
    path = written(tmp_path, hint.format(separator) + "\r\n".join(lines) + "\r\n")
    table = read_table(path)
    assert table.names == names
    assert (table.form.separator, table.decimal, table.form.line_end) == (separator, decimal, "\r\n")
    np.testing.assert_allclose(learned(path).samples.targets, [-x for x in NUMBERS])


def test_same_rows_give_the_same_points_whatever_the_separator(tmp_path):
    lines = [f"{x},{n % 6},{x * x:.2f}" for n, x in enumerate(NUMBERS)]
    texts = ["\n".join(["a,b,y", *lines]), "\n".join(["a;b;y", *(line.replace(",", ";") for line in lines)])]
    comma, semicolon = (learned(written(tmp_path, text)) for text in texts)
    assert comma.encoding == semicolon.encoding
    np.testing.assert_array_equal(comma.samples.inputs, semicolon.samples.inputs)
    assert comma.encoding.classes == ()


def test_marks_and_encoding_can_be_told(tmp_path):
    text = "größe/y\n" + rows(lambda n: f"{n},5/{n}")
    path = written(tmp_path, text, encoding="cp1252")
    with pytest.raises(DataError, match=r"it is not in utf-8; name its encoding, e\.g\. --encoding cp1252"):
        read_table(path)
    table = read_table(path, TableOptions(separator="/", decimal=",", encoding="cp1252"))
    assert table.names == ["größe", "y"]
    assert table.columns["größe"][0] == "0,5"
    with pytest.raises(DataError, match=r"table\.encoding names no encoding: 'latin-99'"):
        read_table(path, TableOptions(encoding="latin-99"))


def test_marks_that_cannot_be_are_refused():
    with pytest.raises(RecipeError, match=r"table\.separator must be a single character or tab, got ;;"):
        TableOptions(separator=";;")
    with pytest.raises(RecipeError, match="must differ, got ',' for both"):
        TableOptions(separator=",", decimal=",")
    assert TableOptions(separator="tab").mark == "\t"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    path = written(tmp_path, "ä\ty\n1\t2\n", encoding=encoding)
    assert read_table(path).names == ["ä", "y"]


@pytest.mark.parametrize("odd", ["?", "n/a ", "err", "-", "NULL", "#N/A", "12 kg"])
def test_few_cells_without_a_number_are_missing_and_named(tmp_path, odd):
    path = written(tmp_path, "a,y\n" + rows(lambda n: f"{odd if n == 4 else n * 1.5},{n}"))
    found = learned(path)
    assert found.encoding.columns == (Column("a", fill=pytest.approx(np.mean([1.5 * n for n in range(20) if n != 4]))),)
    assert any(
        f"1 cell without a number ({odd.strip()!r} in line 6): taken as its mean" in note for note in found.notes
    )


def test_words_for_missing_do_not_count_against_numbers(tmp_path):
    path = written(tmp_path, "a,y\n" + rows(lambda n: f"{n if n % 3 == 0 else 'NA'},{n}"))
    assert learned(path).encoding.columns[0].fill == pytest.approx(9)


def test_cells_of_which_neither_kind_prevails_are_refused_with_lines(tmp_path):
    path = written(tmp_path, "a,y\n" + rows(lambda n: f"{n if n % 3 else 'x'},{n}"))
    with pytest.raises(
        DataError, match=r"column 'a' holds 13 numbers and 7 other texts \('x' in line 2, 'x' in line 5"
    ):
        learned(path)
    assert learned(path, missing_words=("x",)).encoding.columns[0].categories is None
    assert len(learned(path, categories=("a",)).encoding.columns[0].categories) == 14


def test_missing_words_count_in_every_column(tmp_path):
    path = written(tmp_path, "a,b,y\n" + rows(lambda n: f"{'oo' if n < 3 else n},{'oo' if n < 5 else 'xy'[n % 2]},{n}"))
    found = learned(path, missing_words=("oo",))
    assert found.encoding.columns[1].categories == ("missing", "x", "y")
    assert found.encoding.missing_words == ("oo",)
    assert learned(path, missing_words=("oo",), missing="drop").rows.tolist() == list(range(5, 20))


def test_NA_is_a_text_among_texts_and_told(tmp_path):  # noqa: N802  it may be Namibia
    path = written(tmp_path, "country,y\n" + rows(lambda n: f"{('NA', 'DE', 'None')[n % 3]},{n}"))
    found = learned(path)
    assert found.encoding.columns[0].categories == ("DE", "NA", "None")
    assert "if it means missing, --table.missing_words NA,None" in found.notes[0]


def test_codes_with_leading_zeros_stay_texts_in_every_file(tmp_path):
    found = learned(written(tmp_path, "zone,y\n" + rows(lambda n: f"{('01', '02', 'A3')[n % 3]},{n}")))
    assert found.encoding.columns[0].categories == ("01", "02", "A3")
    new = read_table(written(tmp_path, "zone,y\n01,1\n02,1\n"))
    np.testing.assert_array_equal(found.encoding.encode(new), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    "form", ["{:%Y-%m-%d}", "{:%Y/%m/%d}", "{:%d.%m.%Y}", "{:%Y-%m-%dT%H:%M:%SZ}", "{:%Y-%m-%d %H:%M}"]
)
def test_dates_are_days(tmp_path, form):
    days = pd.date_range("2024-01-01", periods=20)
    path = written(tmp_path, "day,y\n" + rows(lambda n: f"{form.format(days[n])},{n}"))
    expected = (days - pd.Timestamp(0)).days
    for source in (path, pd.DataFrame({"day": days, "y": range(20)}), pd.DataFrame({"day": days.date, "y": range(20)})):
        found = learned(source)
        assert found.encoding.columns == (Column("day", is_date=True),)
        np.testing.assert_array_equal(found.samples.inputs[:, 0], expected)
    assert learned({"day": days, "y": range(20)}, "day").encoding.is_date


def test_dates_without_a_clear_order_are_refused(tmp_path):
    path = written(tmp_path, "day,y\n" + rows(lambda n: f"{n % 12 + 1:02}/{n % 28 + 1:02}/2024,{n}"))
    with pytest.raises(
        DataError, match=r"column 'day' holds dates in a form that is not clear .*: write them as 2026-01-31"
    ):
        learned(path)


def test_index_levels_with_names_are_columns(tmp_path):
    frame = pd.DataFrame({"a": range(20), "c": range(20, 40), "b": range(20), "y": range(20)})
    frame.set_index(["a", "c"]).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").names == ["a", "c", "b", "y"]
    assert as_table(frame.set_index("a")).names == ["a", "c", "b", "y"]
    assert as_table(frame.iloc[5:]).names == ["a", "c", "b", "y"]  # labels without a name are no column


def test_typed_columns_of_parquet_are_what_they_say(tmp_path):
    from decimal import Decimal

    frame = pd.DataFrame(
        {
            "price": [Decimal(n) / 4 for n in range(20)],
            "count": pd.array([None, *range(1, 20)], dtype="Int64"),
            "share": pd.array([*np.arange(19) / 8, None], dtype="Float64"),
            "text": pd.array(["x", None] * 10, dtype="string"),
            "flag": pd.array([True, None] * 10, dtype="boolean"),
            "kind": pd.Categorical(["u", "v"] * 10),
            "took": pd.to_timedelta(range(20), unit="h"),
            "y": np.arange(20.0),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    found = learned(tmp_path / "t.parquet")
    assert found.encoding.columns == (
        Column("price"),
        Column("count", fill=10.0),
        Column("share", fill=pytest.approx(9 / 8)),
        Column("text", ("missing", "x")),
        Column("flag", ("True", "missing")),
        Column("kind", ("u", "v")),
        Column("took"),
    )
    assert found.samples.inputs[1, 0] == 0.25


def test_all_columns_that_cannot_be_used_are_named_with_one_flag(tmp_path):
    frame = pd.DataFrame({"first name": [f"n{n}" for n in range(60)], "v": [[n, 1] for n in range(60)], "y": range(60)})
    frame["d"] = [{"a": 1}] * 60
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError) as error:
        learned(tmp_path / "t.parquet")
    assert "column 'first name' holds 60 different texts such as 'n0', more than 50" in str(error.value)
    assert "column 'v' holds lists" in str(error.value)
    assert "column 'd' holds values of the type dict" in str(error.value)
    assert str(error.value).endswith("To leave out: --table.ignore 'v,d,first name'")


def test_flag_can_be_pasted_whatever_the_names():
    assert flag("table.ignore", ["no", "2019"]) == "--table.ignore no,2019"
    assert flag("table.ignore", ["it's", "a, b"]) == """--table.ignore '["it'"'"'s", "a, b"]'"""


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_column_that_is_constant_but_for_rounding_is_left_out(dtype):
    noise = np.finfo(dtype).eps * np.random.default_rng(0).integers(-2, 3, 20)
    frame = pd.DataFrame({"a": np.arange(20.0), "flow": (1.1 * (1 + noise)).astype(dtype), "y": np.arange(20.0) ** 2})
    found = learned(frame)
    assert [column.name for column in found.encoding.columns] == ["a"]
    assert "column 'flow' says the same in every row: left out" in found.notes


def test_seconds_since_1970_are_not_constant():
    frame = pd.DataFrame({"a": 1.7e9 + np.arange(20.0), "y": np.arange(20.0)})
    assert learned(frame).encoding.columns == (Column("a"),)


def test_gzip_that_is_cut_is_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,2\n" * 1000)[:-20])
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(tmp_path / "t.csv.gz")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="the columns have 1, 2 cells: give as many in each"):
        as_table({"a": [1], "b": [1, 2]})


@pytest.mark.parametrize("form", ["1,{:03}", "1'{:03}.5", "1\u202f{:03}", "{}%", "{} %", "$ {}", "-{}.5\u20ac"])
def test_numbers_with_marks_are_refused_with_the_ways_out_and_never_categories(form):
    cells = [form.format(number) for number in range(20)] + ["7"]
    table = {"a": cells, "y": [float(number % 7) for number in range(21)]}
    with pytest.raises(DataError, match="holds numbers with marks that are not read") as refusal:
        learn_table(table, "y", TableOptions())
    assert "--table.categories a" in str(refusal.value)
    assert learn_table(table, "y", TableOptions(categories=("a",))).encoding.columns[0].categories


@pytest.mark.parametrize("text", ["1.2.3", "12-34", "A3", "3a", "10,20", "50% wool", "%", "$"])
def test_codes_are_no_numbers_with_marks(text):
    cells = [text, text, "x"] * 7
    table = {"a": cells, "y": [float(number % 7) for number in range(21)]}
    assert learn_table(table, "y", TableOptions()).encoding.columns[0].categories


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_table_that_is_larger_than_the_bound_is_refused_by_its_uncompressed_size(tmp_path, monkeypatch, compress):
    monkeypatch.setattr("modicum.graphs.csv_files.MOST_BYTES", 1000)
    file = tmp_path / "large.csv"
    file.write_bytes(compress(b"a,y\n" + b"1,2\n" * 500))
    with pytest.raises(DataError, match=r"large\.csv cannot be read as a table: it has more than 1,000 bytes"):
        read_table(file)
    file.write_bytes(compress(b"a,y\n" + b"1,2\n" * 200))
    assert read_table(file).num_rows == 200
