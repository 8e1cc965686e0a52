import random

import numpy as np
import pytest

from modicum.graphs.levenberg_marquardt import Points
from modicum.graphs.losses import SquaredError
from modicum.graphs.neat import evolve

pytest.importorskip("neat", reason="the neat extra is not installed")


@pytest.fixture(scope="module")
def points():
    x = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    return Points.shuffled(x, x[:, :1] - 0.5 * x[:, 1:], SquaredError(), np.random.default_rng(0))


def test_evolution_and_refitting_lower_the_loss(points):
    evolved, refitted = evolve(points, seconds=0.3, seed=0)
    assert evolved.loss < np.mean(points.targets**2)
    assert refitted.loss < evolved.loss
    assert refitted.graph.same_structure(evolved.graph)


def test_pythons_own_random_numbers_are_left_alone(points):
    random.seed(5)
    expected = random.Random(5).random()
    evolve(points, seconds=0.01, seed=0)
    assert random.random() == expected
