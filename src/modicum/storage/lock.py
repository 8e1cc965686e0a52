"""One process at a time in a run folder; the system releases the lock of a process that dies, however it dies."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from modicum.storage.errors import RunError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file at ``path`` while the block runs; the file itself stays and signals nothing.

    Forked workers do not inherit the lock, so that a worker that outlives a killed training does not keep it.

    Raises:
        RunError: On entering, if another process holds it.
    """
    with path.open("a+") as file:
        try:
            _take(file)
        except OSError as error:
            raise RunError(
                f"{path.parent} is in use by another process: wait for it, or choose another --out"
            ) from error
        yield


def _take(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: a forked child would share it
