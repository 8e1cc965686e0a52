import csv
import io
import os

import pytest

from modicum.storage.names import printable, spreadsheet_text


@pytest.mark.parametrize(
    "name",
    [
        os.fsdecode(b"caf\xe9.png"),
        "a\x1b[2J\x1b]0;title\x07.png",
        "a\r\nb.png",
        "exe.\u202egnp",
        "a\u2028b\u2066c",
        "\x9b31m\x7f",
        "\ufeffa",
    ],
)
def test_shown_name_can_be_encoded_and_moves_nothing(name):
    shown = printable(name)
    shown.encode("utf-8")
    assert shown.isprintable()
    assert shown.encode("ascii").decode("unicode_escape") == name


@pytest.mark.parametrize("name", ["plain.png", "Ärger 中文.png", "می‌خواهم", "👨‍👩‍👧.png"])
def test_name_of_ordinary_letters_is_shown_as_it_is(name):
    assert printable(name) == name


def test_line_ends_stay_where_they_are_asked_for():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_spreadsheet_takes_a_name_for_a_formula(name):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow([spreadsheet_text(name)])
    ((cell,),) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert cell == f"'{name}"


@pytest.mark.parametrize("text", ["-5", "+1.5e-3", "-.5", "3.", "cat", "", "a=b"])
def test_numbers_and_plain_texts_are_as_they_are(text):
    assert spreadsheet_text(text) == text
