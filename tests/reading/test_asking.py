import json
import os

import pytest

from modicum.prediction import Failure
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


def test_line_that_is_not_utf8_costs_only_itself(tmp_path):
    file = tmp_path / "asks.jsonl"
    file.write_bytes(f"{LINE}\r\n".encode() + b'{"passage": "K\xf6ln"}\n' + f"\n{LINE}\n".encode())
    first, failure, last = asks_of([file])
    assert first == last == Ask("It rains.", "What happens?", "7")
    assert failure == Failure(f"{file}:2", "not UTF-8 text at byte column 15")


def test_overlong_line_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("modicum.reading.asking.LONGEST_LINE", 100)
    file = tmp_path / "asks.jsonl"
    file.write_text(f"{LINE}\n{'x' * 1000}\n{LINE}\n")
    first, failure, last = asks_of([file])
    assert first == last == Ask("It rains.", "What happens?", "7")
    assert failure == Failure(f"{file}:2", "a line of JSON has at most 100 bytes: ask about a part of the text")


@pytest.mark.parametrize("name", ["asks.jsonl", "dev.json", "rows.csv", "passage.txt"])
def test_pipes_devices_folders_and_impossible_names_cost_only_themselves(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / "folder.json").mkdir()
    entries = [LINE, tmp_path / name, "/dev/zero", f"{name}\0.json", tmp_path / "folder.json", None, 3, LINE]
    first, *failures, last = asks_of(entries)
    assert first == last == Ask("It rains.", "What happens?", "7")
    assert [failure.name for failure in failures] == [f"input {number}" for number in range(2, 8)]
    for failure, words in zip(
        failures,
        ("a pipe or a device", "a pipe or a device", "null", "it is a folder", "got a NoneType", "got a int"),
        strict=True,
    ):
        assert words in failure.reason
        assert failure.reason.isprintable()


def test_passage_is_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="cannot be read: it is a pipe or a device, save its content to a file"):
            read_passage(path)
    with pytest.raises(DataError, match=r"cannot be read: .*null"):
        read_passage("a\0b")


def test_tables_ask_with_answers_and_without(tmp_path):
    (tmp_path / "rows.csv").write_text("question,context\nWhat?,It rains.\nWho?\n")
    ask, failure = asks_of([tmp_path / "rows.csv"])
    assert ask == Ask("It rains.", "What?", "rows-1")
    assert failure.name.startswith(f"{tmp_path / 'rows.csv'}:3 must be")
    assert ask_of_line('{"context": "It rains.", "question": "What?"}', "a:1") == Ask("It rains.", "What?")


def test_questions_of_a_file_that_are_none_are_told(tmp_path):
    questions = [{"id": "a", "question": "What?"}, {"id": "b", "question": " "}, {"id": "c", "question": 3}]
    (tmp_path / "dev.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "x", "qas": questions}]}]}))
    ask, *failures = asks_of([tmp_path / "dev.json"])
    assert ask == Ask("x", "What?", "a")
    assert failures[0] == Failure("b", "question without words was left out")
    assert failures[1].name.endswith("qas[2].question must be text, but is a int")


def test_missing_file_costs_only_itself(tmp_path):
    failure, _ = asks_of([tmp_path / "no.jsonl", LINE])
    assert failure.reason.endswith("no.jsonl cannot be read: No such file or directory")


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
    with pytest.raises(DataError, match=r"is not UTF-8 text at line 1, byte column 2: save it as UTF-8"):
        read_passage(file)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_passage(tmp_path / "none.txt")
