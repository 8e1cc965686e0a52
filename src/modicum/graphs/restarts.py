"""Several searches from different seeds, side by side in processes, stored as they go, resumed where they stopped."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from threadpoolctl import threadpool_limits

from modicum.graphs.front import Front, Member
from modicum.graphs.search import Plan, Progress, Search
from modicum.graphs.task import Task
from modicum.processes import Crew
from modicum.storage.errors import RunError
from modicum.storage.sealing import read_sealed, write_sealed

ROUNDS_AT_ONCE = 5  # about a second for small graphs: often enough to store and to show, rare enough to send states

State: TypeAlias = dict[str, Any]
Watch: TypeAlias = Callable[[int, Progress], None]
"""Told the seed and where its search stands, now and then."""


@dataclass(frozen=True)
class Outcome:
    """What the searches found together.

    Attributes:
        best: The best graph of all seeds, polished.
        front: The Pareto front over all seeds.
        histories: Of each seed, in the order of the seeds.
    """

    best: Member
    front: Front
    histories: tuple[tuple[Progress, ...], ...]


def search_restarts(
    task: Task,
    plan: Plan,
    seeds: Sequence[int],
    *,
    processes: int = 1,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Searches from every seed; the result depends neither on the number of processes nor on interruptions.

    An interrupt (Ctrl-C) ends the search; the best graphs so far are returned.

    Args:
        task: Points and bound.
        plan: Of each search.
        seeds: One search each, at least one.
        processes: How many work at once; 1 works in this process. Each uses one thread.
        folder: Where states are stored, one file per seed; searches found there go on.
        watch: Called after every few rounds.

    Raises:
        ValueError: If there are no seeds, or a seed is given twice.
        RunError: If the folder holds states that cannot be read.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, at least one, got {tuple(seeds)}")
    searches = {seed: _open(task, plan, seed, folder) for seed in seeds}
    with threadpool_limits(limits=1):
        try:
            with closing(_rounds(task, plan, searches, processes)) as rounds:
                for seed, state in rounds:
                    searches[seed].restore(state)
                    if folder is not None:
                        write_sealed(_file(folder, seed), state)
                    if watch is not None:
                        watch(seed, searches[seed].progress)
        except KeyboardInterrupt:
            if not any(len(search.front) for search in searches.values()):
                raise  # nothing found yet that could be kept
        return _outcome([search for search in searches.values() if len(search.front)])


def _outcome(searches: Sequence[Search]) -> Outcome:
    front = merged_front(searches)
    for search in searches:
        front.add(search.polished())
    histories = tuple(tuple(search.history) for search in searches)
    task = searches[0].task
    if task.max_complexity is not None:
        return Outcome(front.most_accurate(task.max_complexity), front, histories)
    return Outcome(front.smallest(task.max_loss), front, histories)


def merged_front(searches: Sequence[Search]) -> Front:
    """Merges the Pareto fronts of several searches."""
    front = Front()
    for search in searches:
        for member in search.front:
            front.add(member)
    return front


def _rounds(
    task: Task, plan: Plan, searches: Mapping[int, Search], processes: int
) -> Generator[tuple[int, State], None, None]:
    """Yields the state of each search every few rounds, until all are over."""
    if processes == 1:
        yield from _rounds_here(searches)
        return
    waiting = deque((seed, search.state()) for seed, search in searches.items() if not search.is_over)
    with Crew(min(processes, len(searches)), partial(_work, task, plan)) as crew:
        for (seed, _), state in crew.work_off(waiting):
            yield seed, state
            if not searches[seed].is_over:
                waiting.append((seed, state))


def _rounds_here(searches: Mapping[int, Search]) -> Iterator[tuple[int, State]]:
    while any(not search.is_over for search in searches.values()):
        for seed, search in searches.items():
            if not search.is_over:
                yield seed, _advance(search)


def _advance(search: Search) -> State:
    for _ in range(ROUNDS_AT_ONCE):
        if not search.is_over:
            search.advance()
    return search.state()


def _work(task: Task, plan: Plan, job: tuple[int, State]) -> State:
    seed, state = job
    search = Search(task, plan, seed)
    search.restore(state)
    with threadpool_limits(limits=1):
        return _advance(search)


def _open(task: Task, plan: Plan, seed: int, folder: Path | None) -> Search:
    search = Search(task, plan, seed)
    if folder is not None and (file := _file(folder, seed)).exists():
        try:
            search.restore(read_state(file))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{file} is no state of this search ({error!r}): remove it to start this seed anew"
            ) from error
    return search


def read_state(file: Path) -> dict[str, Any]:
    """Loads the state of a search from a file; raises `DataError` if it is missing or damaged."""
    return read_sealed(file, remedy="remove it to start this seed anew")


def _file(folder: Path, seed: int) -> Path:
    return folder / f"search-{seed}.json"
