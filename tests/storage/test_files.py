import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.storage import (
    DataError,
    append_jsonl,
    read_json,
    read_json_object,
    read_jsonl,
    write_atomically,
    write_json,
)
from modicum.storage.files import read_at_most

UNHURRIED = settings(deadline=None)  # the first example waits for imports and disks

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=10)
ROWS = st.lists(st.dictionaries(st.text(), SCALARS), min_size=1, max_size=5)

WRITE_FOREVER = """
import sys
import tracemalloc
from modicum.storage import write_atomically
while True:
    for letter in "ab":
        write_atomically(sys.argv[1], letter * 1_000_000)
        print(letter, flush=True)
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


class TestWriteAtomically:
    @pytest.mark.parametrize("data", ["grün\r\n", b"\x00\xff", "", b""])
    def test_content_is_written_as_given(self, tmp_path, data):
        write_atomically(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == (data.encode() if isinstance(data, str) else data)

    def test_missing_parents_are_made(self, tmp_path):
        write_atomically(tmp_path / "a" / "b" / "file", "new")
        assert (tmp_path / "a" / "b" / "file").read_text() == "new"

    def test_a_failure_leaves_the_old_file_and_no_other(self, tmp_path, monkeypatch):
        path = tmp_path / "file"
        write_atomically(path, "old")

        def fail(*_, **__):
            raise OSError("disk is gone")

        monkeypatch.setattr(os, "replace", fail)
        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="disk is gone"):
            write_atomically(path, "new")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file": "old"}

    def test_a_kill_leaves_a_whole_file(self, tmp_path):
        path = tmp_path / "file"
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, path], stdout=subprocess.PIPE)
        with writer:
            for _ in range(5):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        assert path.read_text() in ("a" * 1_000_000, "b" * 1_000_000)


class TestJson:
    @UNHURRIED
    @given(VALUES)
    def test_round_trip(self, scratch, value):
        write_json(scratch / "value.json", value)
        assert read_json(scratch / "value.json") == value

    def test_text_is_readable_and_keeps_its_order(self, tmp_path):
        write_json(tmp_path / "a.json", {"zoom": 1, "café": (1, 2)})
        assert (tmp_path / "a.json").read_text("utf-8") == ('{\n  "zoom": 1,\n  "café": [\n    1,\n    2\n  ]\n}\n')

    def test_a_file_name_that_is_not_utf8_round_trips(self, tmp_path):
        name = os.fsdecode(b"caf\xe9.jpg")
        write_json(tmp_path / "a.json", [name])
        assert read_json(tmp_path / "a.json") == [name]

    @pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, {1, 2}])
    def test_what_json_cannot_say_is_refused_and_the_old_file_stays(self, tmp_path, value):
        write_json(tmp_path / "a.json", "old")
        with pytest.raises(ValueError, match=r"cannot write .*a\.json: not plain JSON data: .*as null"):
            write_json(tmp_path / "a.json", value)
        assert read_json(tmp_path / "a.json") == "old"

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"a\.json does not exist"):
            read_json(tmp_path / "a.json")

    def test_invalid_json_names_line_and_column(self, tmp_path):
        (tmp_path / "a.json").write_text('{\n  "a": 1,\n  "b": oops\n}')
        with pytest.raises(DataError, match=r"a\.json is not valid JSON: Expecting value at line 3, column 8"):
            read_json(tmp_path / "a.json")

    def test_bytes_that_are_not_utf8_are_located(self, tmp_path):
        (tmp_path / "a.json").write_bytes(b'{\n"\xff": 1}')
        with pytest.raises(DataError, match="not UTF-8 at line 2, byte column 2"):
            read_json(tmp_path / "a.json")

    def test_endless_nesting_is_refused(self, tmp_path):
        (tmp_path / "a.json").write_text("[" * 200_000)
        with pytest.raises(DataError, match="nested too deeply"):
            read_json(tmp_path / "a.json")

    def test_number_of_thousands_of_digits_is_refused(self, tmp_path):
        (tmp_path / "a.json").write_text("1" * 5000)
        with pytest.raises(DataError, match="too many digits"):
            read_json(tmp_path / "a.json")

    def test_an_object_is_told_from_other_values(self, tmp_path):
        write_json(tmp_path / "a.json", [1])
        with pytest.raises(DataError, match=r"must hold a JSON object, .* but holds a list"):
            read_json_object(tmp_path / "a.json")


class TestJsonLines:
    @UNHURRIED
    @given(ROWS)
    def test_rows_come_back_in_order(self, scratch, rows):
        path = scratch / "rows.jsonl"
        path.unlink(missing_ok=True)
        for row in rows:
            append_jsonl(path, row)
        assert read_jsonl(path) == rows

    @UNHURRIED
    @given(ROWS, st.data())
    def test_a_cut_loses_at_most_the_last_row(self, scratch, rows, data):
        path = scratch / "rows.jsonl"
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        last = content.rfind(b"\n", 0, -1) + 1
        path.write_bytes(content[: data.draw(st.integers(last, len(content)), label="length after the kill")])
        assert read_jsonl(path) in (rows, rows[:-1])

    @UNHURRIED
    @given(ROWS, st.data())
    def test_appending_after_a_cut_keeps_the_file_readable(self, scratch, rows, data):
        path = scratch / "rows.jsonl"
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        path.write_bytes(content[: data.draw(st.integers(0, len(content)), label="length after the kill")])
        before = read_jsonl(path)
        append_jsonl(path, {"step": 7})
        assert read_jsonl(path) == [*before, {"step": 7}]

    def test_a_broken_line_in_the_middle_is_located(self, tmp_path):
        (tmp_path / "m.jsonl").write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
        with pytest.raises(DataError, match=r"m\.jsonl is not valid JSON: .* at line 2, column 7"):
            read_jsonl(tmp_path / "m.jsonl")

    def test_a_row_that_is_no_object_is_located(self, tmp_path):
        (tmp_path / "m.jsonl").write_text('{"a": 1}\n[2]\n')
        with pytest.raises(DataError, match=r"line 2 must hold a JSON object, .* but holds a list"):
            read_jsonl(tmp_path / "m.jsonl")

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"m\.jsonl does not exist"):
            read_jsonl(tmp_path / "m.jsonl")

    def test_values_that_are_not_finite_become_null(self, tmp_path):
        append_jsonl(tmp_path / "m.jsonl", {"loss": float("nan"), "psnr_db": float("inf"), "step": 1})
        assert read_jsonl(tmp_path / "m.jsonl") == [{"loss": None, "psnr_db": None, "step": 1}]

    def test_what_json_cannot_say_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="not plain JSON data"):
            append_jsonl(tmp_path / "m.jsonl", {"loss": {1}})


@pytest.mark.parametrize(("size", "bound"), [(0, 10), (9, 10), (10, 10), (11, 10), (3_000_000, 2_500_000)])
def test_stream_is_read_to_its_end_or_one_byte_past_the_bound(size, bound):
    assert len(read_at_most(io.BytesIO(bytes(size)), bound)) == min(size, bound + 1)


def test_bound_on_a_stream_takes_no_memory(tmp_path):
    (tmp_path / "small").write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        with (tmp_path / "small").open("rb") as stream:
            read_at_most(stream, 2**30)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
