import os
import signal
import subprocess
import sys
from pathlib import Path

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
FORK_AND_HOLD = """
import os, sys, time
from pathlib import Path
from modicum.storage.lock import locked
with locked(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    print("held", flush=True)
    print(child, flush=True)
    sys.stdin.read()
"""


def hold(path: Path, program: str = HOLD) -> subprocess.Popen[str]:
    """Another process that holds the lock by now."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process and closes its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def test_held_lock_is_refused(tmp_path):
    holder = hold(tmp_path / ".lock")
    try:
        with pytest.raises(RunError, match="is in use by another process: wait for it"), locked(tmp_path / ".lock"):
            pass
    finally:
        end(holder)


def test_released_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / ".lock"):
            pass


def test_lock_of_a_killed_process_is_free(tmp_path):
    holder = hold(tmp_path / ".lock")
    holder.send_signal(signal.SIGKILL)
    end(holder)
    with locked(tmp_path / ".lock"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_worker_that_outlives_a_killed_process_does_not_keep_the_lock(tmp_path):
    holder = hold(tmp_path / ".lock", FORK_AND_HOLD)
    worker = int(holder.stdout.readline())
    end(holder)
    try:
        with locked(tmp_path / ".lock"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_lock_is_released_when_the_block_raises(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock"):
        _ = 1 / 0
    end(hold(tmp_path / ".lock"))


def test_stray_lock_file_does_not_lock(tmp_path):
    (tmp_path / ".lock").write_text("left by an older version")
    with locked(tmp_path / ".lock"):
        pass
