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
