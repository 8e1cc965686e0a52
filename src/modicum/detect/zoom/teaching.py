"""From detections of pictures that no detector was trained on to all that zooming learns: scores, R-net, Q-net."""
# N detections of a picture, C h w features of a picture

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from modicum.detect.boxes import Detections, Objects
from modicum.detect.zoom.assembly import layout_of
from modicum.detect.zoom.baselines import plan_fixed
from modicum.detect.zoom.caching import BothPasses
from modicum.detect.zoom.calibrating import fit_score_map, pool
from modicum.detect.zoom.costs import pixel_costs
from modicum.detect.zoom.dense_training import dense_targets, train_dense_rnet
from modicum.detect.zoom.gain_map import resample_map
from modicum.detect.zoom.gains import BoxGains, ImageGains, MapGains
from modicum.detect.zoom.inference import calibrated
from modicum.detect.zoom.learning import QLearning, ZoomCase, train_qnet
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.matching import Matches, match_detections
from modicum.detect.zoom.network import Role, ZoomNetwork
from modicum.detect.zoom.planners import ValuePlanner
from modicum.detect.zoom.planning import Plan
from modicum.detect.zoom.policies import RungPolicy, rung_scores
from modicum.detect.zoom.qnet import values_of
from modicum.detect.zoom.recipe import GainOptions, PolicyOptions, ZoomRecipe
from modicum.detect.zoom.rnet import DenseRNet, RNet, predict_gain_map, predict_gains
from modicum.detect.zoom.rnet_training import RNetTraining, gain_pairs, train_rnet
from modicum.detect.zoom.score_map import ScoreMap
from modicum.storage.errors import DataError

NUM_RUNGS = 13  # prices that a Q-net plans for, evenly spaced on a logarithmic scale

log = logging.getLogger(__name__)


class Lesson(NamedTuple):
    """What both detectors found in one picture, and what is there."""

    passes: BothPasses
    objects: Objects
    features: Tensor | None = None  # (C, h, w), of the coarse pass, for the dense R-net alone

    @property
    def matches(self) -> Matches:
        """What looking closer would gain."""
        return match_detections(self.passes.coarse, self.passes.fine, self.objects)


def teach(network: ZoomNetwork, lessons: Sequence[Lesson], recipe: ZoomRecipe) -> None:
    """Fits everything but the detectors, all of it a function of the lessons and of the recipe's seed.

    Args:
        network: Whose maps of scores, R-net and Q-net are fitted.
        lessons: With scores as the detectors gave them.
        recipe: How.

    Raises:
        DataError: If there is nothing to learn.
    """
    for role in ("coarse", "fine"):
        network.set_score_map(role, _fit_scores(lessons, role))
    ready = [calibrate_lesson(network, each) for each in lessons]
    if isinstance(network.rnet, DenseRNet):
        _teach_dense(network.rnet, ready, recipe.rnet, recipe.seed)
    else:
        _teach_rnet(network.rnet, ready, recipe.rnet, recipe.seed)
    if network.qnet is not None:
        _teach_qnet(network, ready, recipe.policy, recipe.seed)


def calibrate_lesson(network: ZoomNetwork, lesson: Lesson) -> Lesson:
    """Returns a lesson with calibrated scores."""
    coarse = calibrated(lesson.passes.coarse, network.score_map("coarse"))
    fine = calibrated(lesson.passes.fine, network.score_map("fine"))
    return lesson._replace(passes=replace(lesson.passes, coarse=coarse, fine=fine))


def predicted_gains(network: ZoomNetwork, lesson: Lesson) -> ImageGains:
    """Returns the gains that R-net predicts for a lesson with calibrated scores."""
    (width, height), coarse = lesson.passes.size, lesson.passes.coarse
    grid = layout_of(network).grid(width, height)
    if isinstance(network.rnet, DenseRNet):
        assert lesson.features is not None  # `lessons_of` adds them for this form
        return MapGains(grid, resample_map(predict_gain_map(network.rnet, lesson.features), grid))
    return BoxGains.of(coarse.arrays().boxes, predict_gains(network.rnet, coarse, width, height), grid)


def fixed_windows(network: ZoomNetwork, lessons: Sequence[Lesson]) -> Plan:
    """Returns the constant windows that earn most in these pictures: a baseline."""
    layout, truths = layout_of(network), list[BoxGains]()
    for lesson in (calibrate_lesson(network, each) for each in lessons):
        truths.append(BoxGains.of(*lesson.matches.true_gains(), layout.grid(*lesson.passes.size)))
    return plan_fixed(truths, layout.lattices(truths[0].grid))


def _fit_scores(lessons: Sequence[Lesson], role: Role) -> ScoreMap:
    """Fits the map from scores of a detector to shares of hits."""
    scores, hits = [], [np.zeros(0, dtype=bool)]
    for passes, objects, _ in lessons:
        found = passes.coarse if role == "coarse" else passes.fine
        matches = match_detections(found, Detections.empty(), objects)
        scores.append(matches.coarse[matches.counts])
        hits.append(matches.hits[matches.counts])
    return fit_score_map(pool(scores), np.concatenate(hits))


def _teach_rnet(rnet: RNet, lessons: Sequence[Lesson], options: GainOptions, seed: int) -> None:
    found = [lesson.passes.coarse for lesson in lessons]
    try:
        pairs = gain_pairs(found, [lesson.matches for lesson in lessons], [each.passes.size for each in lessons])
    except ValueError as error:
        raise DataError(f"the coarse pass over {len(lessons)} pictures: {error}") from error
    how = RNetTraining(
        epochs=options.epochs,
        least_steps=options.least_steps,
        rate=options.learning_rate,
        huber=options.huber,
        seed=seed,
    )
    history = train_rnet(rnet, pairs, how)
    told = "R-net learned from %d detections in %d pictures: loss %.4f"
    log.info(told, len(pairs.gains), len(lessons), history[-1])


def _teach_dense(rnet: DenseRNet, lessons: Sequence[Lesson], options: GainOptions, seed: int) -> None:
    features = [lesson.features for lesson in lessons if lesson.features is not None]
    targets = [
        dense_targets(lesson.matches, *lesson.passes.size, *(rnet.enlargement * side for side in own.shape[-2:]))
        for lesson, own in zip(lessons, features, strict=True)
    ]
    history = train_dense_rnet(rnet, features, targets, epochs=options.epochs, rate=options.learning_rate, seed=seed)
    log.info("the dense R-net learned from %d pictures: loss %.4f", len(lessons), history[-1])


def _teach_qnet(network: ZoomNetwork, lessons: Sequence[Lesson], options: PolicyOptions, seed: int) -> None:
    """Trains the Q-net, and makes its mean pixels fall from rung to rung on the same pictures."""
    assert network.qnet is not None
    gains = [predicted_gains(network, lesson) for lesson in lessons]
    how = QLearning(
        updates=options.updates,
        discount=options.discount,
        horizon=options.horizon,
        rate=options.learning_rate,
        prices=options.prices,
        seed=seed,
    )
    layout = layout_of(network)
    cases = [
        ZoomCase(own.map(), BoxGains.of(*lesson.matches.true_gains(), own.grid), layout.lattices(own.grid))
        for lesson, own in zip(lessons, gains, strict=True)
    ]
    train_qnet(network.qnet, cases, how)
    planner = ValuePlanner(partial(values_of, network.qnet), layout)
    prices = tuple(np.geomspace(*options.prices, NUM_RUNGS).tolist())
    windows = [[planner.windows(own, ZoomLimit(price=price), 0) for price in prices] for own in gains]
    scores = rung_scores(windows, [own.grid.whole for own in gains])
    policy = RungPolicy.fit(scores, prices, pixel_costs(network.scale, [each.passes.size for each in lessons]))
    network.prices, network.used = policy.prices, policy.used
    log.info("the Q-net learned in %d updates; %d of %d rungs replaced", how.updates, policy.num_replaced, NUM_RUNGS)
