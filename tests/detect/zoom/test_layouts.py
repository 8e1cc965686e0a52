"""Policies on simulated layouts, in seconds: who must be better than whom, whatever else changes."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from modicum.detect.zoom.policies import to_route

PATH = Path(__file__).parents[3] / "benchmarks" / "zoom_layouts.py"
SCENES = 60
PRICES = (1e6, 32, 16, 8, 4, 1)


@pytest.fixture(scope="module")
def layouts():
    spec = importlib.util.spec_from_file_location("zoom_layouts", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoom_layouts"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["zoom_layouts"]


@pytest.fixture(scope="module")
def scenes(layouts):
    """Scenes to train and to test on, the fine detector's precision on the latter, and an R-net."""
    train, test = layouts.views_of(0, SCENES), layouts.views_of(1, SCENES)
    return train, test, layouts.fine_precision(test), layouts.train_on(train)


@pytest.fixture(scope="module")
def rows(layouts, scenes):
    """What the greedy policy reaches by entropy, R-net and true gain, from the highest price to the lowest."""
    _, test, _, rnet = scenes
    policies = {"entropy": layouts.by_entropy, "R-net": layouts.predicted(rnet), "true gain": layouts.Views.truth}
    plans = {name: layouts.greedy_plans(test, gains) for name, gains in policies.items()}
    return {name: [layouts.measure_plans(name, test, own, price) for price in PRICES] for name, own in plans.items()}


def precision_at(rows, pixels):
    """The precision of a policy at a share of pixels, between two prices."""
    return np.interp(pixels, [row.pixels for row in rows], [row.precision for row in rows])


def test_a_higher_price_reads_fewer_pixels_and_finds_less(rows):
    for own in rows.values():
        assert all(left.pixels <= right.pixels for left, right in pairwise(own))
        assert own[-1].pixels > 2 * own[0].pixels
        assert own[-1].precision > own[0].precision + 0.1
        assert all(left.precision < right.precision + 0.02 for left, right in pairwise(own))  # up to noise


def test_greedy_windows_beat_random_ones_at_equal_pixels(layouts, scenes, rows):
    _, test, fine, _ = scenes
    random = layouts.measure("random", test, layouts.random_routes(test, 4))

    assert (precision_at(rows["R-net"], random.pixels) - random.precision) / fine > 0.15


def test_the_true_gain_bounds_what_predictions_reach(rows):
    for name in ("R-net", "entropy"):
        for row in rows[name]:
            assert precision_at(rows["true gain"], row.pixels) > row.precision - 0.02


def test_windows_that_follow_the_image_beat_fixed_ones(layouts, scenes, rows):
    train, test, *_ = scenes
    fixed = layouts.plan_fixed([view.truth() for view in train], layouts.LATTICES)
    for count in (1, 2):
        rival = layouts.measure("fixed", test, [to_route(layouts.GRID.whole, fixed.windows[:count])] * SCENES)
        assert precision_at(rows["R-net"], rival.pixels) > rival.precision


def test_the_network_ranks_gains_better_than_the_entropy_of_scores(layouts, scenes):
    _, test, _, rnet = scenes

    fit = layouts.assess_on(rnet, test)

    assert fit.r2 > 0.1
    assert fit.rank_correlation > fit.entropy_rank_correlation


def test_at_a_price_that_nothing_is_worth_the_coarse_pass_is_all(layouts, scenes, rows):
    _, test, fine, _ = scenes
    coarse = layouts.measure("coarse", test, layouts.random_routes(test, 0))

    assert coarse.pixels == 1 / 16
    assert rows["R-net"][0].precision == coarse.precision < 0.8 * fine


def test_scenes_are_drawn_alike_from_one_seed(layouts):
    first, second = (layouts.views_of(3, 2)[1].scene for _ in range(2))

    assert np.array_equal(first.boxes, second.boxes)
    assert (first.coarse == second.coarse).all()
