"""SIGTERM as an exception: a command that is asked to end cleans up, and says in one line how to go on."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
_REPEATED_S = 1.0  # `timeout` sends the signal to a process and, at once, again to its group


class Terminated(BaseException):
    """This process was asked to end; no `Exception`, so that nobody takes it for a fault of what was going on."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raises `Terminated` on SIGTERM while the block runs in the main thread; in another thread, changes nothing.

    Also where the signal made something else fail first, such as a data loader whose workers got it, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[float] = []

    def end(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_repeated = bool(asked) and now - asked[-1] < _REPEATED_S
        asked.append(now)
        if not is_repeated:
            raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception as error:
        if asked:
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
