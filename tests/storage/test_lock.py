import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from modicum.storage import RunError
from modicum.storage.lock import locked

HOLD = """
import sys
from pathlib import Path
from modicum.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def leave_lock(path, **changes):
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "process": "earlier",
        "since": "2026-01-31T00:00:00+00:00",
    }
    path.write_text(json.dumps(holder | changes))


def test_nothing_is_left_after_the_block(path):
    with locked(path):
        assert path.exists()
    assert list(path.parent.iterdir()) == []


def test_nothing_is_left_after_an_error(path):
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []


def test_a_living_process_is_named(path, holder):
    message = rf"is in use by process {holder.pid} on .* since 20.*choose another --out; .*delete \.lock there"
    with pytest.raises(RunError, match=message), locked(path):
        pass


def test_the_same_process_cannot_hold_it_twice(path):
    with locked(path), pytest.raises(RunError, match="is in use by process"), locked(path):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_a_killed_process_that_had_our_number_is_recognised(path):
    leave_lock(path)
    with locked(path):
        assert json.loads(path.read_text())["process"] != "earlier"


def test_another_host_is_believed(path):
    leave_lock(path, host="elsewhere")
    with pytest.raises(RunError, match="on elsewhere"), locked(path):
        pass


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid"'])
def test_an_unreadable_lock_is_respected(path, content):
    path.write_text(content)
    with pytest.raises(RunError, match="in use by another process"), locked(path):
        pass


def test_one_takeover_at_a_time(path):
    leave_lock(path)
    leave_lock(path.with_name(".lock.takeover"), host="elsewhere")
    with pytest.raises(RunError, match=r"on elsewhere .*delete \.lock\.takeover there"), locked(path):
        pass


def test_a_lock_that_someone_else_put_there_is_not_removed(path):
    with locked(path):
        leave_lock(path, host="elsewhere")
    assert path.exists()
