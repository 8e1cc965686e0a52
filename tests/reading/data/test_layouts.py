import csv
import gzip
import io
import json

import pytest

from modicum.reading.data.corpus import Answer
from modicum.reading.data.layouts import is_question_file
from modicum.reading.data.problems import ProblemKind
from modicum.reading.data.squad import read_squad
from modicum.storage.errors import DataError, MissingExtraError

TEXTS = ("The mill was built by Anna, in 1800.", "The inn; it was\nbuilt by Bert.")
STARTS = (TEXTS[0].index("Anna"), TEXTS[1].index("Bert"))
ROWS = [
    {"id": "a", "title": "t", "context": TEXTS[0], "question": "Who, then?", "answers": ("Anna", STARTS[0])},
    {"id": "b", "title": "t", "context": TEXTS[1], "question": "Who?", "answers": ("Bert", STARTS[1])},
    {"id": "c", "title": "t", "context": TEXTS[0], "question": "When?", "answers": None},
]


def rows(*, form):
    """The rows with their answers in one of the forms that files have."""
    made = []
    for row in ROWS:
        text, start = row["answers"] or ("", 0)
        texts, starts = [text] * bool(text), [start] * bool(text)
        answers = {
            "lists": {"answers": {"text": texts, "answer_start": starts}},
            "objects": {"answers": [{"text": text, "answer_start": start} for text in texts]},
            "texts": {"answers": texts},
        }
        made.append({**row, **answers[form]})
    return made


def as_csv(records, mark=","):
    out = io.StringIO()
    csv.writer(out, delimiter=mark).writerows(records)
    return out.getvalue()


def flat(write, content, name="rows.csv"):
    loaded = read_squad(write(content, name))
    return [(q.question.id, q.passage.text, q.question.answers, q.question.impossible) for q in loaded.corpus.asked()]


@pytest.fixture
def write(tmp_path):
    """Function that writes a file and returns its path."""

    def write(content, name):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


EXPECTED = [
    ("a", TEXTS[0], (Answer("Anna", STARTS[0]),), False),
    ("c", TEXTS[0], (), True),
    ("b", TEXTS[1], (Answer("Bert", STARTS[1]),), False),
]


@pytest.mark.parametrize("form", ["lists", "objects", "texts"])
@pytest.mark.parametrize(
    "make",
    [
        lambda rows: (json.dumps(rows), "rows.json"),
        lambda rows: (json.dumps({"version": "any", "data": rows}), "rows.json"),
        lambda rows: ("\n".join(map(json.dumps, rows)), "rows.jsonl"),
        lambda rows: ("\n".join(map(json.dumps, rows)), "rows.json"),
        lambda rows: (gzip.compress("\r\n\r\n".join(map(json.dumps, rows)).encode(), mtime=0), "rows.ndjson.gz"),
    ],
    ids=["list", "data", "lines", "lines named JSON", "lines gz"],
)
def test_rows_in_json_are_read_and_their_passages_joined(write, make, form):
    loaded = read_squad(write(*make(rows(form=form))))
    assert [
        (q.question.id, q.passage.text, q.question.answers, q.question.impossible) for q in loaded.corpus.asked()
    ] == (EXPECTED)
    assert (len(loaded.corpus.passages), loaded.corpus.version, loaded.problems) == (2, "2.0", ())


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_with_plain_answers_are_read(write, mark, encoding):
    records = [[" Context", "Question", "answer_start", "Answer", "id"]]
    records += [[row["context"], row["question"], row["answers"][1], row["answers"][0], row["id"]] for row in ROWS[:2]]
    assert flat(write, as_csv(records, mark).encode(encoding)) == [EXPECTED[0], EXPECTED[2]]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps,
        repr,
        lambda value: (
            f"{{'text': array({value['text']}, dtype=object), 'answer_start': array({value['answer_start']})}}"
        ),
    ],
    ids=["JSON", "Python", "pandas"],
)
def test_tables_with_answers_written_as_objects_are_read(write, cell):
    records = [["id", "title", "context", "question", "answers"]]
    records += [[*list(row.values())[:4], cell(row["answers"])] for row in rows(form="lists")]
    assert flat(write, as_csv(records)) == EXPECTED


def test_text_that_only_looks_like_a_list_is_the_answer(write):
    content = as_csv([["passage", "question", "answer"], ["He said [sic] so.", "What?", "[sic]"]])
    assert flat(write, content)[0][2] == (Answer("[sic]", 8),)


def test_parquet_is_read_as_hugging_face_writes_it(write, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.Table.from_pylist(rows(form="lists")), tmp_path / "train-00000-of-00001.parquet")
    loaded = read_squad(tmp_path / "train-00000-of-00001.parquet")
    assert [asked.question.id for asked in loaded.corpus.asked()] == ["a", "c", "b"]
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "train-00000-of-00001.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut.parquet cannot be read as Parquet: "):
        read_squad(tmp_path / "cut.parquet")


def test_parquet_without_pyarrow_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[graphs\]'"):
        read_squad(write(b"PAR1", "rows.parquet"))


def test_bad_rows_cost_only_themselves_and_are_told_by_their_lines(write):
    good = as_csv([["He,\nBert, came.", "Who?", "Bert"]])
    loaded = read_squad(write(f"context,question,answer\r\n{good}a,b\r\n\r\n{good}one,too,many,cells\r\n", "rows.csv"))
    assert [asked.question.id for asked in loaded.corpus.asked()] == ["rows-1", "rows-2"]
    assert [problem.kind for problem in loaded.problems] == [ProblemKind.MALFORMED] * 2
    assert [problem.place.split(" must")[0].split(":")[-1] for problem in loaded.problems] == ["4", "8"]


def test_bad_line_of_json_lines_costs_only_itself(write):
    lines = [json.dumps(row) for row in rows(form="texts")]
    loaded = read_squad(write("\n".join([lines[0], "{broken", "", lines[1]]), "rows.jsonl"))
    assert loaded.corpus.num_questions == 2
    assert ".jsonl:2 must be an object" in loaded.problems[0].place


def test_empty_cell_of_an_answer_is_told(write):
    content = as_csv([["context", "question", "answer"], ["It rains.", "What?", "rains"], ["It snows.", "Why?", ""]])
    loaded = read_squad(write(content, "rows.csv"))
    assert [problem.kind for problem in loaded.problems] == [ProblemKind.EMPTY_LIST]
    assert loaded.corpus.version == "2.0"


def test_articles_and_paragraphs_without_what_stands_around_them_are_read(write):
    paragraph = {"context": TEXTS[0], "qas": [{"qid": "x", "question": "Who?", "detected_answers": [{"text": "Anna"}]}]}
    for content in ([{"paragraphs": [paragraph]}], [paragraph], {"paragraphs": [paragraph]}, paragraph):
        assert flat(write, json.dumps(content), "part.json")[0][:3] == ("x", TEXTS[0], (Answer("Anna", STARTS[0]),))


def test_long_cells_are_read(write):
    text = "word " * 40_000
    assert flat(write, as_csv([["context", "question", "answer"], [text, "What?", "word"]]))[0][1] == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a,b\n1,2\n",
            r"rows.csv is no file of questions: a table needs the columns 'context' and 'question', but its ",
        ),
        ("", r"its first line has none"),
        ('context,question\n"open,Why?\n', r"rows.csv is damaged at line 2: unexpected end of data"),
        (b"context,question\n\xe9,Why?\n", r"rows.csv is not UTF-8 text at line 2, byte column 1: save it as UTF-8"),
    ],
)
def test_unusable_tables_are_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        read_squad(write(content, "rows.csv"))


def test_names_of_question_files():
    named = ("a.json", "a.JSON.gz", "a.jsonl", "a.ndjson.gz", "a.csv", "a.tsv.gz", "a.parquet")
    assert all(map(is_question_file, named))
    assert not any(map(is_question_file, ("a.txt", "a.json.bak", "a.parquet.gz", "json")))
