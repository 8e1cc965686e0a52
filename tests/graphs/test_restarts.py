import numpy as np
import pytest

from modicum.graphs.levenberg_marquardt import Points
from modicum.graphs.losses import SquaredError
from modicum.graphs.restarts import search_restarts
from modicum.graphs.search import Plan, Search
from modicum.graphs.task import Task
from modicum.storage.errors import RunError
from modicum.storage.sealing import write_sealed

TABLE = np.random.default_rng(0).uniform(-2, 2, (150, 2))
TARGETS = np.sin(2 * TABLE[:, :1]) + 0.3 * TABLE[:, 1:]
TASK = Task(Points.shuffled(TABLE, TARGETS, SquaredError(), np.random.default_rng(0)), 0.01)
PLAN = Plan(rounds=6)


def facts(outcome):
    return outcome.best.graph, [(member.complexity, member.loss) for member in outcome.front]


@pytest.fixture(scope="module")
def undisturbed():
    """The outcome of two seeds, one after the other in this process."""
    return search_restarts(TASK, PLAN, (0, 1))


@pytest.fixture(scope="module")
def first_alone(tmp_path_factory):
    """The outcome of the first seed alone, and the folder of its state."""
    folder = tmp_path_factory.mktemp("first")
    return search_restarts(TASK, PLAN, (0,), folder=folder), folder


def test_processes_change_nothing(undisturbed):
    assert facts(search_restarts(TASK, PLAN, (0, 1), processes=2)) == facts(undisturbed)


def test_best_is_that_of_all_seeds(undisturbed, first_alone):
    alone = [first_alone[0].best, search_restarts(TASK, PLAN, (1,)).best]
    assert undisturbed.best.complexity == min(member.complexity for member in alone)
    assert len(undisturbed.histories) == 2


def test_an_interrupted_run_goes_on_to_the_same_result(undisturbed, tmp_path):
    def interrupt(seed, progress):
        if seed == 1:
            raise KeyboardInterrupt

    kept = search_restarts(TASK, PLAN, (0, 1), folder=tmp_path, watch=interrupt)
    assert kept.best.loss <= 0.01
    assert facts(search_restarts(TASK, PLAN, (0, 1), folder=tmp_path)) == facts(undisturbed)


def test_an_interrupt_before_anything_is_found_goes_through(monkeypatch):
    def interrupt(search):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search_restarts(TASK, PLAN, (0,))


def test_watch_is_told_seed_and_progress():
    told = []
    search_restarts(TASK, PLAN, (7,), watch=lambda seed, progress: told.append((seed, progress.round)))
    assert told == [(7, 4), (7, 6)]


def test_a_finished_search_is_not_repeated(first_alone):
    (first, folder), told = first_alone, []
    again = search_restarts(TASK, PLAN, (0,), folder=folder, watch=lambda *news: told.append(news))
    assert told == []
    assert facts(again) == facts(first)


def test_a_damaged_state_is_named(tmp_path):
    write_sealed(tmp_path / "search-0.json", {"round": 3})
    with pytest.raises(RunError, match=r"search-0\.json is no state of this search .* remove it"):
        search_restarts(TASK, PLAN, (0,), folder=tmp_path)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_differ(seeds):
    with pytest.raises(ValueError, match="seeds must be different whole numbers, at least one, got"):
        search_restarts(TASK, PLAN, seeds)
