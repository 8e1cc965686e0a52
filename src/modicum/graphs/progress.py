"""A line on the terminal that tells how a search goes on: complexity against error, and how much of it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modicum.graphs.search import Plan, Progress

Show = Callable[[int, Progress], None]
"""Told the seed of a search and where it stands."""


@contextmanager
def shown_progress(plan: Plan, seeds: tuple[int, ...], error_of: Callable[[float], float]) -> Iterator[Show]:
    """A bar on standard error while graphs are searched, where that is a terminal.

    Args:
        plan: Of each search.
        seeds: Of the searches.
        error_of: From a loss to an error as users know it.
    """
    if not sys.stderr.isatty():
        yield lambda seed, progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {seed: bar.add_task(f"search {place}: begins", total=1.0) for place, seed in enumerate(seeds, start=1)}

        def show(seed: int, progress: Progress) -> None:
            told = f"{progress.complexity} parameters, error {error_of(progress.loss):.4g}"
            place = list(tasks).index(seed) + 1
            bar.update(tasks[seed], completed=done_share(plan, progress), description=f"search {place}: {told}")

        yield show


def done_share(plan: Plan, progress: Progress) -> float:
    """How much of a search is done, in [0, 1], by the limit that will be met first."""
    shares = [progress.round / plan.rounds if plan.rounds else 1.0]
    if plan.seconds is not None:
        shares.append(progress.seconds / plan.seconds)
    return min(1.0, max(shares))
