import itertools
import json
import time

import numpy as np
import pytest

from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Fit, Points
from modicum.graphs.losses import SquaredError
from modicum.graphs.pruning import LAST, prune
from modicum.graphs.search import Plan, Search
from modicum.graphs.task import Task

TABLE = np.random.default_rng(0).uniform(-2, 2, (250, 2))
TARGETS = np.sin(2 * TABLE[:, :1]) * np.tanh(TABLE[:, 1:])
POINTS = Points.shuffled(TABLE, TARGETS, SquaredError(), np.random.default_rng(0))
WITHIN = Task(POINTS, max_loss=0.01)
OF_SIZE = Task(POINTS, max_complexity=16)


def run(task, rounds, seed=0, plan=None):
    search = Search(task, plan or Plan(rounds=rounds), seed)
    while not search.is_over:
        search.advance()
    return search


def comparable(search):
    """What must be equal after the same rounds: all but the times."""
    state = search.state()
    del state["seconds"]
    for progress in state["history"]:
        del progress["seconds"]
    return state


def test_best_graph_keeps_the_bound():
    best = run(WITHIN, 6).best
    errors = evaluate(best.graph, TABLE) - TARGETS
    assert (errors**2).mean() == pytest.approx(best.loss)
    assert best.loss <= 0.01
    assert best.complexity == best.graph.num_parameters < Graph.layered((2, 8, 1)).num_parameters


def test_alternating_beats_a_single_pass():
    closer = WITHIN.bounded(0.001)
    assert run(closer, 15).best.complexity < run(closer, 0).best.complexity


def test_best_never_gets_worse():
    search = Search(WITHIN, Plan(rounds=8), 1)
    sizes = [search.advance().complexity for _ in range(8)]
    assert sizes == sorted(sizes, reverse=True)


def test_complexity_can_be_the_bound():
    short, long = run(OF_SIZE, 1), run(OF_SIZE, 12)
    assert long.best.complexity <= 16
    assert long.best.loss < short.best.loss


def test_even_a_constant_can_be_asked_for():
    best = run(Task(POINTS, max_complexity=1), 2).best
    assert (best.complexity, best.graph.num_edges) == (1, 0)
    assert best.loss == pytest.approx(TARGETS.var(), rel=1e-3)


def test_the_same_seed_finds_the_same():
    assert comparable(run(WITHIN, 4)) == comparable(run(WITHIN, 4))


def test_other_seeds_go_other_ways():
    assert run(WITHIN, 2, seed=0).incumbent != run(WITHIN, 2, seed=1).incumbent


@pytest.mark.parametrize("task", [WITHIN, OF_SIZE])
def test_a_restored_search_goes_on_to_the_same_result(task):
    through = run(task, 6)
    halfway = json.loads(json.dumps(run(task, 3).state()))
    resumed = Search(task, Plan(rounds=6), 0)
    resumed.restore(halfway)
    while not resumed.is_over:
        resumed.advance()
    assert comparable(resumed) == comparable(through)


def test_a_fresh_search_can_be_stored_too():
    stored = json.loads(json.dumps(Search(OF_SIZE, Plan(), 0).state()))
    again = Search(OF_SIZE, Plan(), 0)
    again.restore(stored)
    assert again.round == -1
    assert again.task.max_loss == np.inf


def test_bound_may_be_held_on_validation_points():
    search = run(Task(POINTS.part(0, 150), 0.02, validation=POINTS.part(150, 250)), 3)
    judged = evaluate(search.best.graph, POINTS.inputs[:, 150:].T).T - POINTS.targets[:, 150:]
    assert (judged**2).mean() == pytest.approx(search.best.loss)
    assert search.best.loss <= 0.02


def test_noise_ends_growing_without_a_graph_within_the_bound():
    noise = Points(POINTS.inputs, np.random.default_rng(1).standard_normal((1, 250)), SquaredError())
    best = run(Task(noise, 1e-3), 1, plan=Plan(rounds=1, max_parameters=40)).best
    assert best.loss > 1e-3


def test_time_ends_a_search():
    assert run(WITHIN, 0, plan=Plan(rounds=1000, seconds=1e-9)).round == 0


def test_polishing_leaves_no_parameter_that_can_go_and_keeps_the_search():
    search = run(WITHIN, 3)
    before = comparable(search)
    polished = search.polished()
    assert polished.complexity <= search.best.complexity
    assert polished.loss <= 0.01
    assert list(prune(Fit(polished.graph, polished.loss, 0), WITHIN, LAST)) == []
    assert comparable(search) == before


def test_polishing_keeps_the_size_that_was_asked_for():
    search = run(OF_SIZE, 3)
    polished = search.polished()
    assert polished.complexity <= 16
    assert polished.loss <= search.best.loss


def test_history_tells_every_change_of_the_best():
    history = run(WITHIN, 8).history
    assert history[0].round == 0
    assert all(later.is_news(earlier) for earlier, later in itertools.pairwise(history))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"rounds": -1}, "rounds must be at least 0"),
        ({"max_new_neurons": 0}, "at least 1, got 200, 0 and 40"),
        ({"uphill": 1.5}, r"uphill and connecting must be in \[0, 1\], got 1.5 and 0.3"),
        ({"connecting": -0.1}, r"uphill and connecting must be in \[0, 1\], got 0.25 and -0.1"),
    ],
)
def test_impossible_plans_are_refused(field, message):
    with pytest.raises(ValueError, match=message):
        Plan(**field)


def limited(task, seconds):
    """CPU seconds that a search with a limit takes in all, polishing included, and its best graph."""
    before = time.process_time()
    search = run(task, 10**6, plan=Plan(rounds=10**6, seconds=seconds))
    best = search.polished()
    return time.process_time() - before, best


@pytest.mark.parametrize("task", [WITHIN.bounded(1e-4), OF_SIZE])
def test_limit_of_seconds_holds_within_a_tenth_with_polishing(task):
    seconds, best = limited(task, 1.5)
    assert 0.8 * 1.5 < seconds < 1.1 * 1.5
    assert best.graph.num_edges > 0


def test_polishing_ends_where_the_time_is_up():
    search = run(WITHIN, 1)
    search.plan = Plan(rounds=1, seconds=search.seconds + 0.01)
    before = time.process_time()
    assert search.polished().loss <= search.best.loss
    assert time.process_time() - before < 0.2


def test_search_without_time_for_a_round_still_has_a_graph():
    search = run(WITHIN, 5, plan=Plan(rounds=5, seconds=1e-6))
    assert search.round == 0
    assert search.polished().graph.num_inputs == 2
