"""What leaves the command line: names of any kind, interruptions, errors of the system."""

import errno
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from modicum.cli import VERBS, main
from modicum.imaging.pictures import FramesWarning
from modicum.prediction import Failure
from modicum.presenting import present, present_predictions, with_files
from modicum.reporting.terminal import shown


def read(inputs: Sequence[str] = ()):
    """The options of a task that has none beside its inputs."""


def no_options():
    """The options of a task that has none."""


NAMES = [os.fsdecode(b"caf\xe9.png"), "a\x1b[2J\x07.png", "\u202egnp.exe"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "ascii"])
def test_any_name_is_printed_in_any_encoding(encoding, monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)

    def predict(run: str, inputs: Sequence[str] = ()):
        yield from (Failure(name, "no reason, 中") for name in NAMES)

    monkeypatch.setitem(VERBS, "predict", predict)
    monkeypatch.setattr("modicum.verbs.options_of", lambda verb, run: read)
    assert main(["predict", "run"]) == 1
    streams["stderr"].flush()
    text = streams["stderr"].buffer.getvalue().decode(encoding)
    assert text.count("not read") == 3
    assert "\x1b" not in text
    assert "\x07" not in text


def test_word_after_two_dashes_is_a_name_even_that_of_a_flag(monkeypatch, capsys):
    def predict(run: str, inputs: Sequence[str] = ()):
        yield from (Failure(name, "no reason") for name in inputs)

    monkeypatch.setitem(VERBS, "predict", predict)
    monkeypatch.setattr("modicum.verbs.options_of", lambda verb, run: read)
    assert main(["predict", "run", "--", "--json"]) == 1
    assert capsys.readouterr() == ("", "--json: not read: no reason\n")


def test_json_of_any_name_is_ascii_and_gives_the_name_back(capsys):
    assert not present_predictions([Failure(name, "x") for name in NAMES], as_json=True)
    text = capsys.readouterr().out
    assert text.isascii()
    assert [json.loads(line)["name"] for line in text.splitlines()] == NAMES


def test_json_has_null_for_what_is_no_finite_number(capsys):
    class Answer:
        def to_json(self):
            return {"values": [1.0, float("nan")], "rmse": float("inf")}

    assert present_predictions([Answer()], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"values": [1.0, None], "rmse": None}


@pytest.mark.parametrize("name", NAMES)
def test_cells_of_terminal_tables_can_be_printed_and_move_nothing(name):
    shown(f"[bold]{name}").encode("utf-8")
    assert "\x1b" not in shown(name)


def test_names_in_errors_and_in_the_log_move_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def evaluate(run: str):
        logging.getLogger("modicum").warning("left out %s", NAMES[1])
        raise ValueError(f"{NAMES[1]} is bad")

    monkeypatch.setattr("modicum.verbs.options_of", lambda verb, run: no_options)
    monkeypatch.setitem(VERBS, "evaluate", evaluate)
    assert main(["evaluate", "run"]) == 2
    error = capsys.readouterr().err
    assert error == "left out a\\x1b[2J\\x07.png\nmodicum: a\\x1b[2J\\x07.png is bad\n"


@pytest.mark.parametrize("verb", ["predict", "export"])
def test_interrupted_command_that_trains_nothing_is_told_nothing_of_resume(verb, monkeypatch, capsys):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("modicum.cli._run_verb", stop)
    assert main([verb, "runs/drnet"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_list_on_standard_input_may_have_the_line_ends_of_any_system_and_names_in_any_encoding():
    code = "from modicum import cli; cli._let_names_through(); print(ascii(list(cli._read_stdin_list('-'))))"
    lines = b"\xef\xbb\xbfa b.png\r\ncaf\xe9.png\n\r\nc.png"
    found = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, check=True)
    assert found.stdout.decode().strip() == r"['a b.png', 'caf\udce9.png', 'c.png']"


def test_full_disk_names_the_file(tmp_path, monkeypatch, capsys):
    from modicum.storage.outputs import write_output

    def fail(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def list_systems():
        monkeypatch.setattr("os.fsync", fail)
        write_output(tmp_path / "out.png", b"1")

    monkeypatch.setitem(VERBS, "list", list_systems)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == f"modicum: {tmp_path / 'out.png'}: No space left on device\n"
    assert not [file for file in tmp_path.iterdir() if file.suffix == ".tmp"]


@pytest.mark.parametrize("as_json", [False, True])
def test_places_of_what_a_verb_wrote_are_told(as_json, capsys):
    from modicum.reporting.report import Report

    report = Report("rnan", "headline", "data", ())
    present(with_files(report, {"report": Path("runs/x/report.html")}), as_json=as_json)
    text = capsys.readouterr().out
    assert (json.loads(text)["files"]["report"] if as_json else text.splitlines()[-1]).endswith("runs/x/report.html")


@pytest.mark.filterwarnings("default")
def test_own_warnings_are_lines_without_a_place_in_the_code(monkeypatch, capsys):
    def predict(run: str, inputs: Sequence[str] = ()):
        warnings.warn("a\x1b[2J.tif has 3 pages", FramesWarning, stacklevel=1)
        yield Failure("x", "y")

    monkeypatch.setitem(VERBS, "predict", predict)
    monkeypatch.setattr("modicum.verbs.options_of", lambda verb, run: read)
    monkeypatch.setattr(warnings, "showwarning", lambda *given: sys.stderr.write(warnings.formatwarning(*given[:4])))
    usual = warnings.formatwarning
    assert main(["predict", "run"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "warning: a\\x1b[2J.tif has 3 pages"
    assert warnings.formatwarning is usual
