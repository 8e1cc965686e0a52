"""Peak memory of a piece of work, measured in a process of its own."""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from modicum.measuring.timing import is_gpu_in_use
from modicum.processes import start_worker

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(work: Callable[..., Callable[[], object]], *arguments: object) -> int:
    """Measures the peak memory in bytes of some work in a fresh process, beyond its memory before the preparation.

    What the preparation leaves alive, such as weights, counts; its own peak counts only where the system cannot forget
    it, which Linux can. On a GPU, the device's memory is measured instead.

    Args:
        work: A function of a module; called with ``arguments`` in the new process, it prepares and returns the work to
            be measured.
        *arguments: Handed over by pickling.

    Raises:
        RuntimeError: If the process dies.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = start_worker(_measure, sender, work, arguments)
    sender.close()
    try:
        peak: int = receiver.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"the measured process died with exit code {process.exitcode}") from error
    finally:
        process.kill()  # also where an interrupt ends the wait
        process.join()
        receiver.close()
    return peak


def _measure(sender: Connection, work: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> None:
    before = _peak()
    run = work(*arguments)
    if is_gpu_in_use():
        before = 0  # of the device's memory, none was in use
    gc.collect()
    _forget_peak()
    run()
    sender.send(_peak() - before)


def _forget_peak() -> None:
    if is_gpu_in_use():
        torch.cuda.reset_peak_memory_stats()
    elif _FORGET.exists():
        _FORGET.write_text("5")  # Linux: the peak becomes what is in use now


def _peak() -> int:
    if is_gpu_in_use():
        return torch.cuda.max_memory_allocated()
    # Not getrusage where there is a choice: on Linux a new process starts with the peak of the one that started it.
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
