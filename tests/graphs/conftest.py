from collections.abc import Callable

import numpy as np
import pytest

from modicum.graphs.activations import ACTIVATIONS
from modicum.graphs.graph import Graph


@pytest.fixture(scope="session")
def random_graph() -> Callable[..., Graph]:
    """Function from a seed (and sizes) to a random graph in canonical form, of every activation."""

    def make(seed: int, *, num_inputs: int = 4, num_hidden: int = 6, num_outputs: int = 1) -> Graph:
        rng = np.random.default_rng(seed)
        first_output, num_nodes = num_inputs + num_hidden, num_inputs + num_hidden + num_outputs
        pairs = [
            (source, target)
            for target in range(num_inputs, num_nodes)
            for source in range(min(target, first_output))
            if rng.random() < 0.35 or source == min(target, first_output) - 1
        ]
        sources, targets = np.array(pairs).T
        activations = tuple(list(ACTIVATIONS)[number % len(ACTIVATIONS)] for number in range(num_hidden))
        weights, biases = rng.standard_normal(len(pairs)), rng.standard_normal(num_hidden + num_outputs)
        return Graph(num_inputs, num_outputs, activations, sources, targets, weights, biases).canonical()

    return make


@pytest.fixture(scope="session")
def untidy_graph() -> Callable[..., Graph]:
    """Function from a seed to a graph of 3 inputs and 2 outputs in any order, with dead ends and constants in it."""

    def make(seed: int, *, density: float = 0.4) -> Graph:
        rng = np.random.default_rng(seed)
        pairs = [(s, t) for t in range(3, 12) for s in range(min(t, 10)) if rng.random() < density]
        sources, targets = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        activations = tuple(rng.choice(list(ACTIVATIONS), 7).tolist())
        return Graph(3, 2, activations, sources, targets, rng.standard_normal(len(pairs)), rng.standard_normal(9))

    return make


@pytest.fixture(scope="session")
def three_inputs() -> np.ndarray:
    """Twenty points of three inputs, read-only."""
    points = np.random.default_rng(0).standard_normal((20, 3))
    points.flags.writeable = False
    return points
