"""A lock file that keeps two processes from writing into one folder."""

import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from modicum.storage.errors import RunError
from modicum.storage.provenance import utc_now

# Tells this process from a killed one with the same number: after a restart, a container counts its processes anew.
_PROCESS_ID = uuid.uuid4().hex


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    host: str
    process: str  # unique per process, also over restarts
    since: str  # UTC, ISO 8601

    @classmethod
    def this_process(cls) -> "Holder":
        """The process that asks."""
        return cls(os.getpid(), socket.gethostname(), _PROCESS_ID, utc_now())

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; of another host's processes nothing is known."""
        if self.host != socket.gethostname():
            return False
        if self.pid == os.getpid():
            return self.process != _PROCESS_ID
        return not _is_alive(self.pid)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file ``path`` while the block runs; a lock that a killed process left is taken over.

    Raises:
        RunError: If another process holds it; the message names the process and the file.
    """
    mine = Holder.this_process()
    _acquire(path, mine)
    try:
        yield
    finally:
        if _read_holder(path) == mine:
            path.unlink(missing_ok=True)


def _acquire(path: Path, mine: Holder) -> None:
    if _create(path, mine):
        return
    _refuse_living(path)
    # Two processes may find the same dead lock. Only the one that creates the guard may remove it, after a second look:
    # without the guard, the slower one would remove the lock that the faster one has just taken.
    guard = path.with_name(path.name + ".takeover")
    if not _create(guard, mine):
        raise _in_use(guard, _read_holder(guard))
    try:
        _refuse_living(path)
        path.unlink()
        if not _create(path, mine):
            raise _in_use(path, _read_holder(path))
    finally:
        guard.unlink(missing_ok=True)


def _refuse_living(path: Path) -> None:
    holder = _read_holder(path)
    if holder is None or not holder.is_dead():
        raise _in_use(path, holder)


def _create(path: Path, holder: Holder) -> bool:
    with suppress(FileExistsError), path.open("x") as file:
        file.write(json.dumps(asdict(holder)))
        return True
    return False


def _read_holder(path: Path) -> Holder | None:
    """Who holds the lock; ``None`` if that cannot be read: the file is just being written, or gone."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _in_use(path: Path, holder: Holder | None) -> RunError:
    who = f"process {holder.pid} on {holder.host} since {holder.since}" if holder else "another process"
    return RunError(
        f"{path.parent} is in use by {who}: wait for it or choose another --out; "
        f"if no such process runs, delete {path.name} there"
    )


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # no harmless question exists there: `os.kill` would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, and belongs to another user
    return True
