"""NEAT (Stanley and Miikkulainen, 2002) by its package neat-python, as a baseline: topologies by evolution alone."""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from modicum.graphs.activations import ActivationName
from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Effort, Fit, Points, fit
from modicum.storage.errors import MissingExtraError

POPULATION = 100
REFIT_ITERATIONS = 300
_CONFIG = """
[NEAT]
fitness_criterion = max
fitness_threshold = 0
pop_size = {population}
reset_on_extinction = True
no_fitness_termination = True
seed = {seed}

[DefaultGenome]
num_inputs = {inputs}
num_outputs = {outputs}
num_hidden = 0
feed_forward = True
initial_connection = full_direct
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.5
conn_add_prob = 0.3
conn_delete_prob = 0.1
node_add_prob = 0.15
node_delete_prob = 0.05
single_structural_mutation = False
structural_mutation_surer = default
activation_default = tanh
activation_mutate_rate = 0.0
activation_options = tanh
aggregation_default = sum
aggregation_mutate_rate = 0.0
aggregation_options = sum
bias_init_mean = 0.0
bias_init_stdev = 1.0
bias_init_type = gaussian
bias_max_value = 30.0
bias_min_value = -30.0
bias_mutate_power = 0.2
bias_mutate_rate = 0.7
bias_replace_rate = 0.05
response_init_mean = 1.0
response_init_stdev = 0.0
response_init_type = gaussian
response_max_value = 1.0
response_min_value = 1.0
response_mutate_power = 0.0
response_mutate_rate = 0.0
response_replace_rate = 0.0
weight_init_mean = 0.0
weight_init_stdev = 1.0
weight_init_type = gaussian
weight_max_value = 30.0
weight_min_value = -30.0
weight_mutate_power = 0.3
weight_mutate_rate = 0.8
weight_replace_rate = 0.05
enabled_default = True
enabled_mutate_rate = 0.01
enabled_rate_to_true_add = 0.0
enabled_rate_to_false_add = 0.0
time_constant_init_mean = 1.0
time_constant_init_stdev = 0.0
time_constant_init_type = gaussian
time_constant_max_value = 1.0
time_constant_min_value = 1.0
time_constant_mutate_power = 0.0
time_constant_mutate_rate = 0.0
time_constant_replace_rate = 0.0

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 20
species_elitism = 2

[DefaultReproduction]
elitism = 2
survival_threshold = 0.2
min_species_size = 2
"""


def evolve(points: Points, *, seconds: float, seed: int) -> tuple[Fit, Fit]:
    """Returns the best network of a population evolved for some time, as it was and with its weights refitted.

    Hidden neurons are tanh, outputs linear, fitness is the negative loss. Nothing was tuned for a problem; that the
    result's weights are then fitted by Levenberg-Marquardt is in its favour.

    Args:
        points: What to fit.
        seconds: CPU time; a generation in progress is finished.
        seed: Seed of all random numbers.

    Raises:
        MissingExtraError: If neat-python is not installed.
    """
    neat = _require_neat()
    start, best = time.process_time(), None
    with _config(points, seed) as config, _kept_random_state():
        population = neat.Population(config)
        while best is None or time.process_time() - start < seconds:
            found = population.run(lambda genomes, settings: _judge(genomes, settings, points), 1)
            best = found if best is None or found.fitness > best.fitness else best
        graph = to_graph(best, config)
    evolved = Fit(graph.canonical(), -best.fitness, 0)
    return evolved, fit(evolved.graph, points, Effort(REFIT_ITERATIONS, 1e-5))


def to_graph(genome: Any, config: Any) -> Graph:  # noqa: ANN401  neat-python is not typed
    """Converts the network of a genome to a graph with linear outputs."""
    neat = _require_neat()
    network = neat.nn.FeedForwardNetwork.create(genome, config)
    evaluated = [node for node, *_ in network.node_evals]
    hidden = [node for node in evaluated if node not in network.output_nodes]
    place = {node: number for number, node in enumerate([*network.input_nodes, *hidden, *network.output_nodes])}
    edges = [
        (place[source], place[node], weight)
        for node, _, _, _, _, links in network.node_evals
        for source, weight in links
        if source not in network.output_nodes  # NEAT lets outputs feed others; such links are not ours to express
    ]
    activations: list[ActivationName] = ["tanh"] * len(hidden)
    biases = [genome.nodes[node].bias for node in [*hidden, *network.output_nodes]]
    sources, targets, weights = zip(*edges, strict=True) if edges else ((), (), ())
    return Graph(
        len(network.input_nodes),
        len(network.output_nodes),
        tuple(activations),
        np.array(sources, dtype=np.int64),
        np.array(targets, dtype=np.int64),
        np.array(weights, dtype=np.float64),
        np.array(biases, dtype=np.float64),
    )


def _judge(genomes: list[tuple[int, Any]], config: Any, points: Points) -> None:  # noqa: ANN401  neat-python's own
    for _, genome in genomes:
        outputs = evaluate(to_graph(genome, config), points.inputs.T).T
        genome.fitness = -points.loss.total(outputs, points.targets) / points.num_points


@contextmanager
def _config(points: Points, seed: int) -> Iterator[Any]:
    neat = _require_neat()
    text = _CONFIG.format(inputs=len(points.inputs), outputs=len(points.targets), population=POPULATION, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "neat.ini"  # it reads its settings from a file alone
        file.write_text(text, encoding="utf-8")
        kinds = (neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation)
        yield neat.Config(*kinds, str(file))


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Restores the state of Python's random generator, which neat-python seeds and uses."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _require_neat() -> ModuleType:
    try:
        return import_module("neat")
    except ImportError as error:
        raise MissingExtraError("neat-python", "neat") from error
