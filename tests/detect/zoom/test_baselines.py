"""Plans that look at nothing in the image."""

import numpy as np
import pytest

from modicum.detect.zoom.baselines import JointGains, plan_fixed, plan_random
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.windows import Grid, enumerate_windows

GRID = Grid.of(640, 384, columns=20)
LATTICES = enumerate_windows(GRID)


def gains_at(left, top, grid=GRID):
    return BoxGains.of(np.array([[left, top, left + 20.0, top + 20.0]]), np.ones(1), grid)


def test_fixed_windows_are_where_most_training_images_gain():
    truths = [gains_at(500, 300)] * 3 + [gains_at(20, 20)] * 2 + [gains_at(300, 20)]

    plan = plan_fixed(truths, LATTICES)

    left, top, right, bottom = plan.windows[0]
    assert left <= 500 < 520 <= right
    assert top <= 300 < 320 <= bottom
    assert plan.prices[:2].tolist() == pytest.approx([3 / 6 * 16, 2 / 6 * 16])


def test_images_of_another_size_are_scaled_to_the_first():
    twice = Grid.of(1280, 768, columns=20)

    plan = plan_fixed([gains_at(500, 300), gains_at(1000, 600, twice)], LATTICES)

    assert plan.prices[0] == pytest.approx(16)


def test_joint_gains_are_means():
    joint = JointGains((gains_at(500, 300), gains_at(20, 20)))

    assert joint.total() == 1
    assert joint.without(np.array([480.0, 288, 640, 384])).total() == 0.5
    assert joint.on(LATTICES[1]).max() == 0.5


def test_random_windows_are_different_and_taken_one_by_one():
    plan = plan_random(GRID, LATTICES[1], np.random.default_rng(0), steps=5)

    assert len(np.unique(plan.windows, axis=0)) == 5
    assert [len(plan.at(price)) for price in (6, 5, 4, 1)] == [0, 1, 2, 5]


def test_there_are_no_more_random_windows_than_places():
    (only,) = enumerate_windows(GRID, [(1, 1)])

    assert len(plan_random(GRID, only, np.random.default_rng(0)).windows) == 1
    assert plan_random(GRID, only, np.random.default_rng(0), steps=0).windows.shape == (0, 4)
