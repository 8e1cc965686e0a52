"""Speed and memory of graphs: levels at once against neuron by neuron, a step of the optimiser, the default search."""

# N points
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from modicum.graphs.activations import ActivationName, Array
from modicum.graphs.evaluation import evaluate, evaluate_by_neuron
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Effort, Points, fit
from modicum.graphs.losses import SquaredError
from modicum.graphs.preparation import prepare
from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.search import Search
from modicum.graphs.training import make_plan, make_task
from modicum.measuring.memory import peak_memory
from modicum.measuring.rows import Row
from modicum.measuring.timing import threads_text, time_in_turn
from modicum.recipes import build_recipe, read_recipe

EVALUATION_SPEED = 20.0  # times that of neuron by neuron, wanted
SEARCH_S = 300.0  # wanted of the default search on two cores
BYTES = 48.0  # per point and node, wanted of a fit: values and sums in double precision, and what is worked on
ROUNDS = 10  # of the search that are timed
SINGLE_POINTS = 200  # that are evaluated one after the other; the time for all is scaled from theirs


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Returns rows with the times of evaluation, fitting and search, and the memory of a fit.

    Args:
        threads: Threads of the linear algebra; None is one, as in a search.
        quick: Runs small graphs in seconds as a smoke test; the figures are not meaningful.
    """
    edges, points = (60, 2000) if quick else (1000, 100_000)
    rows = [difference_row(edges)]
    with threadpool_limits(limits=threads or 1):
        rows += evaluation_rows(edges, points, threads_text(threads or 1), rounds=3)
    with threadpool_limits(limits=1):
        rows += [fitting_row(256 if quick else 4096), *memory_rows(2000 if quick else 50_000)]
        rows.append(search_row(quick=quick))
    return rows


def random_graph(num_edges: int, *, num_inputs: int = 16, seed: int = 0) -> Graph:
    """Returns a random tanh graph with one output and about seven edges into each neuron."""
    rng = np.random.default_rng(seed)
    num_hidden = max(1, num_edges // 7)
    first_output = num_inputs + num_hidden
    # Chains from every input to the output, so that no neuron leads nowhere.
    pairs = {(node - num_inputs, min(node, first_output)) for node in range(num_inputs, first_output + num_inputs)}
    while len(pairs) < num_edges:
        target = int(rng.integers(num_inputs, first_output + 1))
        pairs.add((int(rng.integers(0, min(target, first_output))), target))
    sources, targets = np.array(sorted(pairs, key=lambda pair: pair[::-1])).T
    fan_in = np.bincount(targets)[targets]
    weights = rng.standard_normal(len(pairs)) / np.sqrt(fan_in)
    biases = 0.5 * rng.standard_normal(num_hidden + 1)
    activation: ActivationName = "tanh"
    return Graph(num_inputs, 1, (activation,) * num_hidden, sources, targets, weights, biases)


def difference_row(num_edges: int) -> Row:
    """Measures the largest difference between evaluation by levels and neuron by neuron."""
    graph = random_graph(num_edges)
    inputs = _inputs(graph, 1000)
    difference = float(np.abs(evaluate(graph, inputs) - evaluate_by_neuron(graph, inputs)).max())
    return Row(f"largest difference of evaluation by levels, {num_edges} connections", difference, "", 1e-10, "at most")


def evaluation_rows(num_edges: int, num_points: int, setting: str, *, rounds: int) -> list[Row]:
    """Measures the milliseconds of one evaluation, and its speed-up over evaluation neuron by neuron.

    The target is against the definition, one point and one neuron after the other. Against a loop over neurons that
    takes all points at once, which is vectorised itself, the ratio is reported.
    """
    graph = random_graph(num_edges)
    inputs = _inputs(graph, num_points)
    single = [inputs[row : row + 1] for row in range(SINGLE_POINTS)]
    runs: dict[str, Callable[[], object]] = {
        "by levels": lambda: evaluate(graph, inputs),
        "neuron by neuron": lambda: [evaluate_by_neuron(graph, point) for point in single],
        "neuron by neuron, all points at once": lambda: evaluate_by_neuron(graph, inputs),
    }
    seconds = time_in_turn(runs, rounds=rounds)
    seconds["neuron by neuron"] *= num_points / SINGLE_POINTS
    where = f"{num_edges} connections, {num_points:,} points, {setting}"
    fast, *slow = seconds.values()
    ratios = zip(list(seconds)[1:], slow, (EVALUATION_SPEED, None), strict=True)
    return [
        *(Row(f"evaluation {form}, {where}", 1000 * value, "ms") for form, value in seconds.items()),
        *(Row(f"by levels, times as fast as {form}, {where}", value / fast, "ratio", t) for form, value, t in ratios),
    ]


def fitting_row(num_points: int) -> Row:
    """Measures the milliseconds of one optimiser step on a layered network of 109 parameters."""
    graph = Graph.layered((2, 6, 6, 6, 1), rng=np.random.default_rng(0))
    points = _points(graph, num_points)
    start, steps = time.process_time(), 0
    while steps < 30:
        steps += fit(graph, points, Effort(30, 0.0)).iterations
    name = f"a step of Levenberg-Marquardt, {graph.num_parameters} parameters, {num_points:,} points, 1 thread"
    return Row(name, 1000 * (time.process_time() - start) / steps, "ms")


def memory_rows(num_points: int) -> list[Row]:
    """Measures the peak memory of a fit per point and node, and the peak with twice the points."""
    single, double = (peak_memory(_fit_for_memory, count) for count in (num_points, 2 * num_points))
    nodes = _memory_graph().num_nodes
    growth = (double - single) / (num_points * nodes)
    return [
        Row(
            f"memory of a fit, each further point and node, from {num_points:,} points",
            growth,
            "bytes",
            BYTES,
            "at most",
        ),
        Row(f"memory of a fit, twice {num_points:,} points against once", double / single, "ratio", 2.2, "at most"),
    ]


def search_row(*, quick: bool) -> Row:
    """Measures the seconds of the default search, from its first graph and some rounds."""
    recipe = build_recipe(GraphsRecipe, read_recipe("graphs-quick" if quick else "graphs-camera"))
    task, plan = make_task(prepare(recipe), recipe), make_plan(recipe)
    search, rounds = Search(task, plan, 0), 2 if quick else ROUNDS
    first = search.advance().seconds
    for _ in range(rounds):
        last = search.advance().seconds
    whole = first + plan.rounds * (last - first) / rounds
    limited = whole if plan.seconds is None else min(whole, plan.seconds)
    name = f"the default search, each restart on a core of its own, estimated from {rounds} of {plan.rounds} rounds"
    return Row(name, limited, "CPU s", SEARCH_S, "at most")


def _inputs(graph: Graph, num_points: int) -> Array:
    return np.random.default_rng(1).standard_normal((num_points, graph.num_inputs))


def _points(graph: Graph, num_points: int) -> Points:
    rng, inputs = np.random.default_rng(2), _inputs(graph, num_points)
    targets = np.sin(inputs.sum(axis=1, keepdims=True)) + 0.1 * rng.standard_normal((num_points, 1))
    return Points.shuffled(inputs, targets, SquaredError(), rng)


def _memory_graph() -> Graph:
    return random_graph(150)


def _fit_for_memory(num_points: int) -> Callable[[], object]:
    graph = _memory_graph()
    points = _points(graph, num_points)
    return lambda: fit(graph, points, Effort(2))
