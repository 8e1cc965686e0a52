import json

import pytest

from modicum.imaging.files import Failure
from modicum.reading.asking import Ask, ask_of_line, asks_of, read_passage
from modicum.storage.errors import DataError

LINE = json.dumps({"id": 7, "passage": "It rains.", "question": "What happens?", "more": 1})


def test_line_of_json_asks():
    assert ask_of_line(LINE, "a:1") == Ask("It rains.", "What happens?", "7")
    assert list(asks_of([f"  {LINE}"])) == [Ask("It rains.", "What happens?", "7")]


def test_id_may_be_missing_or_null():
    assert ask_of_line('{"passage": "x", "question": "y"}', "a:1").id == ""
    assert ask_of_line('{"passage": "x", "question": "y", "id": null}', "a:1").id == ""


def test_half_surrogate_pairs_are_replaced_because_no_answer_with_one_can_be_printed():
    ask = ask_of_line(r'{"passage": "a \ud800 b", "question": "\udfff?", "id": "\ud800"}', "a:1")
    assert ask == Ask("a \ufffd b", "\ufffd?", "\ufffd")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"passage": x}', "not JSON: Expecting value at column 13"),
        ('{"id": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit"),
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
    found = list(asks_of([file]))
    assert [isinstance(each, Failure) for each in found] == [False, True, False]
    assert found[1].name == f"{file}:3"


@pytest.mark.parametrize("answers", [[], [{"text": "rain", "answer_start": 0}]])
def test_squad_files_ask_with_answers_and_without(tmp_path, answers):
    question = {"id": "q", "question": "What falls?", "answers": answers}
    paragraph = {"context": "rain falls", "qas": [question]}
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [paragraph]}]}))
    assert list(asks_of([file])) == [Ask("rain falls", "What falls?", "q")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("picture.png", b"\x89PNG\xff", "picture.png cannot be read as lines of JSON: not UTF-8 text"),
        ("dev.json", b'{"data": x}', "dev.json is not valid JSON: Expecting value at line 1, column 10"),
    ],
)
def test_file_that_cannot_be_read_costs_only_itself(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    first, failure, last = asks_of([LINE, tmp_path / name, LINE])
    assert first == last == Ask("It rains.", "What happens?", "7")
    assert failure == Failure("input 2", f"{tmp_path}/{reason}")


def test_missing_file_costs_only_itself(tmp_path):
    failure, _ = asks_of([tmp_path / "no.jsonl", LINE])
    assert failure.reason.endswith("no.jsonl cannot be read as lines of JSON: No such file or directory")


def test_byte_order_mark_is_no_part_of_a_text(tmp_path):
    file = tmp_path / "asks.jsonl"
    file.write_text(f"\ufeff{LINE}\n", encoding="utf-8")
    assert list(asks_of([file])) == [Ask("It rains.", "What happens?", "7")]
    file.write_text("\ufeffIt rains.", encoding="utf-8")
    assert read_passage(file) == "It rains."


def test_passage_is_the_text_of_its_file(tmp_path):
    file = tmp_path / "passage.txt"
    file.write_text("Ein Satz über Köln.\n", encoding="utf-8")
    assert read_passage(file) == "Ein Satz über Köln.\n"
    file.write_bytes(b"K\xf6ln")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 1\): save it as UTF-8"):
        read_passage(file)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_passage(tmp_path / "none.txt")
