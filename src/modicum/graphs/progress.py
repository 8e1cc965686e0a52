"""Shows the progress of a search: complexity against error, the share that is done, and the time left."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modicum.graphs.search import Plan, Progress
from modicum.training.progress import LINE_PAUSE_S, Rhythm, time_left

Show = Callable[[int, Progress], None]
"""Told the seed of a search and where it stands."""

log = logging.getLogger(__name__)


class SearchClock:
    """Estimates how long a search still takes, from how much of it got done since this process began.

    Args:
        plan: Of each restart.
        seeds: Of the restarts.
        clock: Seconds since any moment.
    """

    def __init__(self, plan: Plan, seeds: tuple[int, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self.clock = plan, clock
        self.start = clock()
        self.done = dict.fromkeys(seeds, 0.0)
        self.before: dict[int, float] = {}  # what an earlier process had done, and the first rounds, which are slow

    def note(self, seed: int, progress: Progress) -> None:
        """Updates the state of a restart."""
        self.done[seed] = done_share(self.plan, progress)
        if seed not in self.before:
            self.before[seed] = self.done[seed]
            self.start = self.clock() if len(self.before) == 1 else self.start

    def whole(self) -> float | None:
        """Returns the seconds of the whole search at the present speed; None if it cannot be estimated yet."""
        gained = sum(self.done[seed] - before for seed, before in self.before.items())
        return (self.clock() - self.start) * len(self.done) / gained if gained > 0 else None

    def left(self) -> float | None:
        """Returns the seconds that the search still takes; None if they cannot be estimated yet."""
        whole = self.whole()
        return None if whole is None else whole * (1 - sum(self.done.values()) / len(self.done))


@contextmanager
def shown_progress(
    plan: Plan,
    seeds: tuple[int, ...],
    error_of: Callable[[float], float],
    *,
    place: str = "stage 1 of 1",
    later: Callable[[float], float] = lambda whole: 0.0,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Show]:
    """Shows the progress of a search: a bar if standard error is a terminal, else a line now and then.

    Args:
        plan: Of each restart.
        seeds: Of the restarts.
        error_of: From a loss to an error as users know it.
        place: Which of the stages of the training this is.
        later: From the seconds that the search takes in all to those of the stages after it.
        now: Seconds since any moment.
    """
    clock, rhythm = SearchClock(plan, seeds, now), Rhythm(LINE_PAUSE_S, now)
    with _bars(plan, seeds) if sys.stderr.isatty() else _no_bars() as advance:

        def show(seed: int, progress: Progress) -> None:
            clock.note(seed, progress)
            told = f"{progress.complexity} parameters, error {error_of(progress.loss):.4g}"
            advance(seed, progress, told)
            if rhythm.is_due() and (left := clock.left()) is not None:
                restart = f"restart {seeds.index(seed) + 1} of {len(seeds)}"
                log.info("%s: search, %s  %s  (%s)", place, restart, told, time_left(left + later(clock.whole() or 0)))

        yield show


Advance = Callable[[int, Progress, str], None]


@contextmanager
def _no_bars() -> Iterator[Advance]:
    yield lambda seed, progress, told: None


@contextmanager
def _bars(plan: Plan, seeds: tuple[int, ...]) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {seed: bar.add_task(f"search {place}: begins", total=1.0) for place, seed in enumerate(seeds, start=1)}

        def advance(seed: int, progress: Progress, told: str) -> None:
            description = f"search {seeds.index(seed) + 1}: {told}"
            bar.update(tasks[seed], completed=done_share(plan, progress), description=description)

        yield advance


def done_share(plan: Plan, progress: Progress) -> float:
    """Returns the share of a search that is done, in [0, 1], by the limit that it will reach first."""
    shares = [progress.round / plan.rounds if plan.rounds else 1.0]
    if plan.seconds is not None:
        shares.append(progress.seconds / plan.seconds)
    return min(1.0, max(shares))
