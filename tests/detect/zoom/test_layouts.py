"""Policies on simulated layouts, in seconds: who must be better than whom, whatever else changes."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from modicum.adaptive.curve import trace_curve, worth_at
from modicum.adaptive.evidence import Scored, cached
from modicum.detect.average_precision import AveragePrecision
from modicum.detect.zoom.policies import PrefixPolicy, plan_scores

PATH = Path(__file__).parents[3] / "benchmarks" / "zoom_layouts.py"
SCENES = 60


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
def curves(layouts, scenes):
    """Curves of the greedy policy by entropy, R-net and true gain: precision over pixels."""
    _, test, _, rnet = scenes

    def curve(gains):
        scored = Scored(tuple(map(str, range(len(test)))), plan_scores(layouts.greedy_plans(test, gains)))
        outcome = cached(lambda routes: AveragePrecision(tuple(map(layouts.Views.judge, test, routes))))
        policy = PrefixPolicy()
        knobs = [0, 1, 2, 4, 8, 16, 32, policy.knob_range(scored.scores)[1]]
        return trace_curve(scored, outcome, policy, layouts.COSTS, knobs=knobs, num_shuffles=1)

    policies = {"entropy": layouts.by_entropy, "R-net": layouts.predicted(rnet), "true gain": layouts.Views.truth}
    return {name: curve(gains) for name, gains in policies.items()}


def test_the_price_trades_precision_for_pixels(curves):
    for curve in curves.values():
        assert all(left.cost >= right.cost for left, right in pairwise(curve.routed))
        assert curve.routed[0].cost > 2 * curve.routed[-1].cost
        assert curve.routed[0].worth > curve.routed[-1].worth + 0.1
    precise = [point.worth for point in curves["R-net"].routed]
    assert all(left > right - 0.02 for left, right in pairwise(precise))  # up to the noise of 60 scenes


def test_greedy_windows_beat_random_ones_at_equal_pixels(layouts, scenes, curves):
    _, test, fine, _ = scenes
    random = layouts.measure("random", test, layouts.random_routes(test, 4))

    greedy = worth_at(curves["R-net"].routed, random.pixels * layouts.GRID.pixels)

    assert (greedy - random.precision) / fine > 0.15


def test_the_true_gain_bounds_what_predictions_reach(curves):
    bound = curves["true gain"].routed
    for name in ("R-net", "entropy"):
        for point in curves[name].routed:
            best = worth_at(bound, min(point.cost, bound[0].cost))
            assert best > point.worth - 0.02


def test_windows_that_follow_the_image_beat_fixed_ones(layouts, scenes, curves):
    train, test, *_ = scenes
    fixed = layouts.plan_fixed([view.truth() for view in train], layouts.LATTICES)
    for count in (1, 2):
        rival = layouts.measure_plans("fixed", test, [fixed] * len(test), fixed.prices[count - 1])
        assert worth_at(curves["R-net"].routed, rival.pixels * layouts.GRID.pixels) > rival.precision


def test_the_network_ranks_gains_better_than_the_entropy_of_scores(layouts, scenes):
    _, test, _, rnet = scenes

    fit = layouts.assess_on(rnet, test)

    assert fit.r2 > 0.1
    assert fit.rank_correlation > fit.entropy_rank_correlation


def test_no_zooming_is_the_coarse_pass_alone(layouts, scenes, curves):
    _, test, fine, _ = scenes
    coarse = layouts.measure("coarse", test, layouts.random_routes(test, 0))

    assert coarse.pixels == 1 / 16
    assert curves["R-net"].routed[-1].worth == coarse.precision < 0.8 * fine


def test_scenes_are_drawn_alike_from_one_seed(layouts):
    first, second = (layouts.views_of(3, 2)[1].scene for _ in range(2))

    assert torch.from_numpy(first.boxes).equal(torch.from_numpy(second.boxes))
    assert (first.coarse == second.coarse).all()
