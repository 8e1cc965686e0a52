"""Processes that this one starts do its work, and never outlive it."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from modicum.processes import Crew

SOURCES = Path(__file__).parents[1] / "src" / "modicum"

CREW = """
import os, sys, time
from collections import deque
from modicum.processes import Crew

if __name__ == "__main__":
    with Crew(2, time.sleep) as crew:
        print(*(process.pid for process in crew._workers.values()), flush=True)
        next(crew.work_off(deque([600] * BUSY)), None)
        sys.stdin.read()
"""
LOADER = """
import sys
from modicum.datasets.loaders import make_loader

class Endless:
    def __len__(self): return 10**6
    def __getitem__(self, index): return index

if __name__ == "__main__":
    batches = iter(make_loader(Endless(), num_workers=2, batch_size=1))
    next(batches)
    print(*(worker.pid for worker in batches._workers), flush=True)
    sys.stdin.read()
"""


def square(number):
    return number**2


def refuse(number):
    raise ValueError(f"{number} is not wanted")


def test_each_job_is_answered_once():
    with Crew(2, square) as crew:
        assert dict(crew.work_off(deque(range(7)))) == {number: number**2 for number in range(7)}


def test_jobs_may_follow_from_answers():
    jobs, answers = deque([2]), []
    with Crew(2, square) as crew:
        for _, answer in crew.work_off(jobs):
            answers.append(answer)
            if answer < 100:
                jobs.append(answer)
    assert answers == [4, 16, 256]


def test_what_the_work_raises_comes_back_with_its_traceback():
    with Crew(1, refuse) as crew, pytest.raises(ValueError, match="3 is not wanted") as caught:
        list(crew.work_off(deque([3])))
    assert "in refuse" in caught.value.__notes__[0]


def test_death_of_a_worker_is_told():
    with Crew(1, os._exit) as crew, pytest.raises(RuntimeError, match="a worker process died with exit code 3"):
        list(crew.work_off(deque([3])))


def test_leaving_the_block_ends_busy_workers_at_once():
    with Crew(1, time.sleep) as crew:
        (worker,) = crew._workers.values()
        crew._send(*crew._workers, 600)
    assert worker.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    "program", [CREW.replace("BUSY", "0"), CREW.replace("BUSY", "2"), LOADER], ids=["idle", "busy", "loader"]
)
def test_workers_end_when_their_parent_is_killed(program, tmp_path, end_of_processes, processes_of):
    file = tmp_path / "program.py"
    file.write_text(program)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, file], text=True, **pipes) as process:
        workers = [int(word) for word in process.stdout.readline().split()]
        started = processes_of(process.pid)
        process.kill()
    assert len(workers) == 2
    assert set(workers) <= set(started)
    assert end_of_processes(started) == []


@pytest.mark.parametrize(
    ("word", "home"),
    [("DataLoader(", "datasets/loaders.py"), ("Process(", "processes.py"), ("ProcessPoolExecutor", "processes.py")],
)
def test_processes_are_started_in_one_place(word, home):
    """Elsewhere they would not end with this one."""
    homes = [path for path in SOURCES.rglob("*.py") if word in path.read_text()]
    assert {str(path.relative_to(SOURCES)) for path in homes} <= {home}


def test_process_that_outlives_its_parent_is_found_at_the_end_of_the_session(processes_of_session, end_of_processes):
    told = subprocess.run(["sh", "-c", "sleep 600 >&- 2>&- & echo $!"], capture_output=True, check=True).stdout
    orphan = int(told)
    assert orphan in processes_of_session()
    os.kill(orphan, signal.SIGKILL)
    assert end_of_processes([orphan]) == []
