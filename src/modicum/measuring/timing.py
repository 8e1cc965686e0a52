"""Wall-clock times that can be compared: things are timed in turn in one run, so that a busy machine hits all alike."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch


def time_in_turn(runs: Mapping[str, Callable[[], object]], *, rounds: int = 7, warm_up: int = 1) -> dict[str, float]:
    """Measures the median seconds of each run; in every round all are timed once, in turn.

    Waits for the accelerator, if one is in use, before each reading of the clock.

    Args:
        runs: What to time, by name.
        rounds: How often each is timed, at least 1.
        warm_up: Rounds before that, which are not counted.

    Example:
        >>> seconds = time_in_turn({"short": lambda: sum(range(10)), "long": lambda: sum(range(100_000))})
        >>> seconds["short"] < seconds["long"]
        True
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + rounds):
        for name, run in runs.items():
            elapsed = _seconds(run)
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return {name: statistics.median(times) for name, times in seconds.items()}


@contextmanager
def limited_threads(number: int) -> Iterator[None]:
    """Gives PyTorch ``number`` CPU threads, at least 1, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_text(number: int) -> str:
    """Returns the text for a number of threads: "1 thread", "2 threads"."""
    return f"{number} thread{'s' if number > 1 else ''}"


def device_name(device: torch.device) -> str:
    """Returns the name of a device for readers: the model of a GPU, else its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def is_gpu_in_use() -> bool:
    """Tells whether this process has begun to use a GPU."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # of torch


def _seconds(run: Callable[[], object]) -> float:
    _wait_for_device()
    start = time.perf_counter()
    run()
    _wait_for_device()
    return time.perf_counter() - start


def _wait_for_device() -> None:
    if is_gpu_in_use():
        torch.cuda.synchronize()
