import json

import pytest

from modicum.imaging.files import Failure
from modicum.reading.asking import Ask, ask_of_line, asks_of, read_passage
from modicum.storage.errors import DataError

LINE = json.dumps({"id": 7, "passage": "It rains.", "question": "What happens?", "more": 1})


def test_line_of_json_asks():
    assert ask_of_line(LINE, "a:1") == Ask("It rains.", "What happens?", "7")
    assert list(asks_of(f"  {LINE}")) == [Ask("It rains.", "What happens?", "7")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[]", "must be a JSON object, {...}, but is a list"),
        ('{"question": "Who?"}', "'passage' must be a text, got null"),
        ('{"passage": "x", "question": 3}', "'question' must be a text, got 3"),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_line_that_asks_nothing_says_why(line, reason):
    found = ask_of_line(line, "a.jsonl:2")
    assert isinstance(found, Failure)
    assert found.name == "a.jsonl:2"
    assert found.reason.startswith(reason)


def test_bad_line_of_a_file_costs_only_itself(tmp_path):
    file = tmp_path / "asks.jsonl"
    file.write_text(f"{LINE}\n\nnonsense\n{LINE}\n")
    found = list(asks_of(file))
    assert [isinstance(each, Failure) for each in found] == [False, True, False]
    assert found[1].name == f"{file}:3"


@pytest.mark.parametrize("answers", [[], [{"text": "rain", "answer_start": 0}]])
def test_squad_files_ask_with_answers_and_without(tmp_path, answers):
    question = {"id": "q", "question": "What falls?", "answers": answers}
    paragraph = {"context": "rain falls", "qas": [question]}
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [paragraph]}]}))
    assert list(asks_of(file)) == [Ask("rain falls", "What falls?", "q")]


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl cannot be read as lines of JSON: No such file"):
        list(asks_of(tmp_path / "none.jsonl"))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError, match=r"picture\.png cannot be read as lines of JSON: not UTF-8 text"):
        list(asks_of(tmp_path / "picture.png"))


def test_passage_is_the_text_of_its_file(tmp_path):
    file = tmp_path / "passage.txt"
    file.write_text("Ein Satz über Köln.\n", encoding="utf-8")
    assert read_passage(file) == "Ein Satz über Köln.\n"
    file.write_bytes(b"K\xf6ln")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 1\): save it as UTF-8"):
        read_passage(file)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_passage(tmp_path / "none.txt")
