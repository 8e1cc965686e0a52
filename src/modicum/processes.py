"""Processes that work for this one, and end when it ends, however it ends."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

_WATCHER = "ends with its parent"
_POLL_S = 1.0

Job = TypeVar("Job")
Answer = TypeVar("Answer")


def end_with_parent(worker: int = 0) -> None:
    """Ends this process within about a second of the end of its parent, even if the parent was killed.

    Call it in every process that another one started. It exits at once, without cleaning up, because no process is
    left to use its results. Calling it again does nothing.

    Args:
        worker: Ignored; torch's data loaders pass the number of their worker.
    """
    if any(thread.name == _WATCHER for thread in threading.enumerate()):
        return
    parent = multiprocessing.parent_process()
    sentinels = [] if parent is None else [parent.sentinel]
    threading.Thread(target=_wait_for_end, args=(sentinels, os.getppid()), name=_WATCHER, daemon=True).start()


def _wait_for_end(sentinels: list[int], parent: int) -> None:
    # The sentinel alone is not enough: forked siblings, which data loaders have, hold its other end open. The parent's
    # number alone is not enough either: Windows keeps it when the parent is gone.
    while os.getppid() == parent:
        if sentinels and wait(sentinels, timeout=_POLL_S):
            break
        if not sentinels:
            time.sleep(_POLL_S)
    os._exit(1)


class _Worker(SpawnProcess):
    """A fresh process that ends with the one that started it."""

    def run(self) -> None:
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows; elsewhere it is held back from the start
        super().run()


def start_worker(work: Callable[..., object], *arguments: object) -> SpawnProcess:
    """Starts ``work(*arguments)`` in a fresh process that ends with this one and ignores Ctrl-C.

    Spawned, not forked: forking a process that runs threads, as torch does, may hang. A terminal sends Ctrl-C to all
    processes of a command; the one that started the others decides what becomes of them.

    Args:
        work: A function of a module.
        *arguments: Handed over by pickling.
    """
    process = _Worker(target=work, args=arguments, daemon=True)
    with _interrupts_held_back():
        process.start()
    return process


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Makes processes that start within ignore Ctrl-C; here Ctrl-C is only delayed."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Crew(Generic[Job, Answer]):
    """Processes that do one kind of work side by side; leaving the ``with`` block ends them at once, busy or not.

    `concurrent.futures` offers no such end before Python 3.14: there an interrupt waits for all that is being worked
    on, and where the parent was killed the workers stay, waiting for each other's pipes and locks. Here each worker has
    a pipe of its own.

    Args:
        count: How many processes, at least 1.
        work: A function of a module, from a job to an answer.
    """

    def __init__(self, count: int, work: Callable[[Job], Answer]) -> None:
        self._workers: dict[Connection, SpawnProcess] = {}
        try:
            for _ in range(count):
                ours, theirs = multiprocessing.Pipe()
                self._workers[ours] = start_worker(_serve, theirs, work)
                theirs.close()  # so that we notice when the worker dies
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Crew[Job, Answer]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def work_off(self, jobs: deque[Job]) -> Iterator[tuple[Job, Answer]]:
        """Yields each job with its answer, in the order in which they finish.

        Args:
            jobs: Taken from the left as workers become free; more may be added between two answers.

        Raises:
            RuntimeError: If a worker dies.
            Exception: What the work raised, with the worker's traceback as a note.
        """
        idle, busy = list(self._workers), dict[Connection, Job]()
        while jobs or busy:
            while idle and jobs:
                worker, job = idle.pop(), jobs.popleft()
                self._send(worker, job)
                busy[worker] = job
            ready = wait(list(busy))
            for worker in [each for each in busy if each in ready]:
                job, answer = busy.pop(worker), self._receive(worker)
                idle.append(worker)
                yield job, answer

    def _send(self, worker: Connection, job: Job) -> None:
        try:
            worker.send(job)
        except BrokenPipeError as error:
            raise self._death_of(worker) from error

    def _receive(self, worker: Connection) -> Answer:
        try:
            answer, fault = worker.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._death_of(worker) from error
        if fault is not None:
            raise fault
        told: Answer = answer
        return told

    def _death_of(self, worker: Connection) -> RuntimeError:
        process = self._workers[worker]
        process.join()
        return RuntimeError(
            f"a worker process died with exit code {process.exitcode}: the memory may not suffice for so many"
        )

    def _end(self) -> None:
        for process in self._workers.values():
            process.kill()
        for connection, process in self._workers.items():
            process.join()
            connection.close()


def _serve(connection: Connection, work: Callable[[Any], object]) -> None:
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer, fault = work(job), None
        except Exception as error:  # raised again where the answer is waited for
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            answer, fault = None, error
        connection.send((answer, fault))
