"""What a trained detector that zooms in, and every baseline, reach on the test part of a run."""
# N pictures

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

import torch
from torch import Tensor

from modicum.adaptive.calibration import Calibration, calibrate, check_disjoint, describe_share, hash_ids
from modicum.adaptive.costs import CostTable, require_plain
from modicum.adaptive.curve import Curve, Point, fixed_point, routed_point, sweep_knobs
from modicum.adaptive.knobs import BudgetError
from modicum.adaptive.worth import bootstrap_interval
from modicum.contract import Run
from modicum.datasets.sources import Part
from modicum.detect.average_precision import judge_precision
from modicum.detect.metrics import coco_figures
from modicum.detect.miss_rate import log_average_miss_rate
from modicum.detect.zoom.contenders import (
    Contender,
    baselines_of,
    contender_of,
    scattered,
    slice_routes,
)
from modicum.detect.zoom.inference import ZoomDetector
from modicum.detect.zoom.measures import assess_gains, compare_returns, time_pictures
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.notes import keep_price, read_fixed, read_price
from modicum.detect.zoom.pictures import draw_example
from modicum.detect.zoom.planners import ValuePlanner
from modicum.detect.zoom.planning import Plan
from modicum.detect.zoom.preparation import prepare
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.detect.zoom.results import Evaluation, Standing
from modicum.detect.zoom.viewing import (
    AP,
    AP50,
    SeenPictures,
    bare_routes,
    macs_of,
    milliseconds_of,
    pixels_of,
    whole_routes,
)
from modicum.training.progress import Countdown

log = logging.getLogger(__name__)

NUM_POINTS = 13  # of the curve
NUM_SCATTERINGS = 3  # random places of the windows, per point
NUM_EXAMPLES = 3  # pictures of each gallery
FINE = "fine alone"  # the one row without a coarse pass


def evaluate_run(
    run: Run[ZoomRecipe, ZoomNetwork],
    network: ZoomNetwork,
    zoom: ZoomDetector,
    *,
    price: float | None = None,
    clock: bool = True,
) -> Evaluation:
    """Measures everything that a report shows, on the test part; chooses the price first where none was chosen.

    Args:
        run: A finished run.
        network: Its network, in evaluation mode.
        zoom: The detector that it stands for.
        price: Look at this price instead of the calibrated one.
        clock: Also time zooming against the fine detector.

    Raises:
        RunError: If the training is not finished.
        DataError: If the data have changed since the run.
        MissingExtraError: If the package for measures is not installed.
    """
    run.folder.require_finished()
    calibration = read_price(run.folder) or _choose_first(run, network, zoom)
    used: tuple[Part, ...] = ("test",)
    data = prepare(run.recipe, run.folder, parts=used)
    check_disjoint(data.splits.calibration, data.splits.test)
    seen, fixed = SeenPictures.of(zoom, data, "test"), read_fixed(run.folder.weights)
    return evaluate(seen, network, calibration, fixed=fixed, price=price, clock=clock, system=run.system.id)


def _choose_first(run: Run[ZoomRecipe, ZoomNetwork], network: ZoomNetwork, zoom: ZoomDetector) -> Calibration:
    """Chooses the price for the recipe's budget; the highest one where windows cost more than that at any."""
    try:
        return calibrate_run(run, network, zoom, budget=run.recipe.budget)
    except BudgetError as error:  # a Q-net that learned too little to stop
        log.warning("%s; the highest price is taken instead", error)
        return calibrate_run(run, network, zoom)


def calibrate_run(
    run: Run[ZoomRecipe, ZoomNetwork], network: ZoomNetwork, zoom: ZoomDetector, **target: float | None
) -> Calibration:
    """Chooses the price for a target on the calibration part, and keeps it in the run folder; see `choose_price`."""
    used: tuple[Part, ...] = ("calibration",)
    seen = SeenPictures.of(zoom, prepare(run.recipe, run.folder, parts=used), "calibration")
    calibration = choose_price(seen, contender_of(network, seen), **target)
    keep_price(run.folder, calibration)
    return calibration


def choose_price(
    seen: SeenPictures,
    contender: Contender,
    *,
    budget: float | None = None,
    budget_ms: float | None = None,
    accuracy: float | None = None,
) -> Calibration:
    """Chooses the price for a target on calibration pictures; without any, the least pixels that a price reads.

    Args:
        seen: The pictures.
        contender: The policy of the run on them.
        budget: Mean share of a picture's pixels that may be read, the coarse pass included.
        budget_ms: Mean milliseconds per picture on this machine, decoding excluded.
        accuracy: Share of the average precision of the fine detector alone that must stay.

    Raises:
        BudgetError: If no price meets the target.
    """
    pixels, outcome = pixels_of(seen.zoom, seen.sizes), seen.outcome(AP50)
    scored = seen.scored(contender.scores)
    if accuracy is not None:
        return _choose_for_accuracy(seen, contender, pixels, accuracy)
    if budget_ms is not None:
        return calibrate(scored, outcome, contender.policy, milliseconds_of(seen), budget_ms)
    if budget is None:
        cheapest = contender.at(contender.policy.knob_range(contender.scores)[1])
        target = float(pixels.of(cheapest).mean())
    else:
        target = budget * require_plain(pixels)
    return calibrate(scored, outcome, contender.policy, pixels, target, describe=describe_share(pixels))


def _choose_for_accuracy(
    seen: SeenPictures, contender: Contender, costs: CostTable[list[Tensor]], accuracy: float
) -> Calibration:
    """Takes the highest of the prices swept at which so much of the fine detector's average precision stays."""
    outcome = seen.outcome(AP50)
    wanted = accuracy * outcome(whole_routes(seen)).total()
    for knob in reversed(sweep_knobs(seen.scored(contender.scores), contender.policy, costs, 2 * NUM_POINTS)):
        routes = contender.at(knob)
        if (worth := outcome(routes).total()) >= wanted:
            achieved = float(costs.of(routes).mean())
            ids = seen.ids
            return Calibration(None, costs.unit, knob, achieved, costs.plain, worth, len(ids), hash_ids(ids))
    raise BudgetError(
        f"no price keeps {accuracy:.1%} of the fine detector's average precision on the {len(seen)} calibration "
        "pictures: ask for less, or train longer"
    )


class _Judge:
    """Measures routes of test pictures in every way that a report shows."""

    def __init__(self, seen: SeenPictures) -> None:
        self.seen, self.pixels, self.macs = seen, pixels_of(seen.zoom, seen.sizes), macs_of(seen.zoom, seen.sizes)
        self.outcome = seen.outcome(AP50)

    def standing(self, name: str, routes: list[Tensor], *, has_coarse: bool = True) -> Standing:
        """Measures routes; those of the fine detector alone have no coarse pass."""
        found, objects = self.seen.answers(routes), self.seen.objects
        low, high = bootstrap_interval(judge_precision(found, objects, AP50))
        is_single = len(self.seen.data.source.classes) == 1
        return Standing(
            name,
            coco_figures(found, objects),
            low,
            high,
            self._share(self.pixels, routes, has_coarse=has_coarse),
            None if self.macs is None else self._share(self.macs, routes, has_coarse=has_coarse),
            fmean(len(route) - 1 for route in routes),
            log_average_miss_rate(found, objects) if is_single else None,
        )

    def cost(self, routes: list[Tensor]) -> float:
        """Returns the mean pixels that routes read."""
        return float(self.pixels.of(routes).mean())

    def _share(self, costs: CostTable[list[Tensor]], routes: list[Tensor], *, has_coarse: bool) -> float:
        mean = float(costs.of(routes).mean()) - (0.0 if has_coarse else costs.decision)
        return mean / require_plain(costs)


def evaluate(
    seen: SeenPictures,
    network: ZoomNetwork,
    calibration: Calibration,
    *,
    fixed: Plan | None,
    price: float | None = None,
    clock: bool = True,
    system: str = "zoom",
) -> Evaluation:
    """Measures everything that a report shows, on the test pictures, with crops that are really read.

    Args:
        seen: The test pictures.
        network: The trained network.
        calibration: The price in use.
        fixed: Windows of the baseline that knows the places of the training pictures.
        price: Look at this price instead.
        clock: Also time zooming against the fine detector.
        system: Id of the system.
    """
    judge, own = _Judge(seen), contender_of(network, seen)
    others = baselines_of(seen, fixed)
    price = calibration.knob if price is None else price
    routes = own.at(price)
    standings = _standings(judge, own, others, routes)
    calibrated = routed_point("calibrated", judge.outcome(routes), routes, judge.pixels, knob=price)
    coarse = judge.outcome(bare_routes(seen)).each()
    gains = (judge.outcome(routes).each() - coarse).tolist()
    ranked = sorted(range(len(seen)), key=lambda place: (-gains[place], float(judge.pixels.of([routes[place]]))))
    draw = partial(draw_example, seen, routes, gains)
    data = seen.data
    return Evaluation(
        system=system,
        data=data.source.name,
        num_images=data.splits.sizes(),
        classes=data.source.classes,
        curve=trace(judge, own, others, judge.cost(routes)),
        calibration=calibration,
        calibrated=calibrated,
        standings=standings,
        gains=assess_gains(seen, network),
        clock=time_pictures(seen, price) if clock else None,
        returns=compare_returns(seen) if isinstance(seen.zoom.planner, ValuePlanner) else (),
        replaced_rungs=sum(rung != used for rung, used in enumerate(network.used)),
        paid_most=tuple(draw(place) for place in ranked[:NUM_EXAMPLES]),
        paid_least=tuple(draw(place) for place in ranked[: -NUM_EXAMPLES - 1 : -1]),
    )


def _standings(
    judge: _Judge, own: Contender, others: Sequence[Contender], routes: list[Tensor]
) -> tuple[Standing, ...]:
    """Measures zooming, both detectors alone, slices, and baselines that read at most as many pixels."""
    seen, cost = judge.seen, judge.cost(routes)
    rows = {
        f"zoom, {own.name}": routes,
        "coarse alone": bare_routes(seen),
        FINE: whole_routes(seen),
        "slices and coarse": slice_routes(seen),
        "random places": scattered(routes, 0),
        **{other.name: other.at_cost(judge.pixels, cost) for other in others},
    }
    countdown, standings = Countdown("policies measured", len(rows), log.info), []
    for name, taken in rows.items():
        standings.append(judge.standing(name, taken, has_coarse=name != FINE))
        countdown.advance()
    return tuple(standings)


def trace(judge: _Judge, own: Contender, others: Sequence[Contender], cost: float) -> Curve:
    """Sweeps the price in even steps of pixels, beside random places of the same windows and the baselines.

    Args:
        judge: Measures routes.
        own: What is swept.
        others: Baselines; the bound by true gain reads at most ``cost`` pixels on average.
        cost: In pixels.
    """
    seen, costs = judge.seen, judge.pixels
    routed, random = [], []
    knobs = sweep_knobs(seen.scored(own.scores), own.policy, costs, NUM_POINTS)
    countdown = Countdown("prices of the curve", len(knobs), log.info)
    for knob in knobs:
        routes = own.at(knob)
        found = seen.answers(routes)
        at_half, at_all = (judge_precision(found, seen.objects, thresholds) for thresholds in (AP50, AP))
        point = routed_point(f"price {knob:.4g}", at_half, routes, costs, knob=knob)
        routed.append(replace(point, also={"AP": at_all.total()}))
        random.append(_random_point(judge, routes))
        countdown.advance()
    fixed = [other for other in others if other.name == "fixed windows"]
    bound = next(other for other in others if other.name == "true gain")
    best = bound.at_cost(costs, cost)
    return Curve(
        unit=costs.unit,
        num_samples=len(seen),
        routed=tuple(routed),
        random=tuple(random),
        static=tuple(_fixed_points(judge, fixed[0])) if fixed else (),
        oracle=routed_point("true gain", judge.outcome(best), best, costs),
        plain=(
            fixed_point(FINE, judge.outcome(whole_routes(seen)), require_plain(costs)),
            fixed_point("coarse alone", judge.outcome(bare_routes(seen)), costs.decision),
        ),
    )


def _random_point(judge: _Judge, routes: list[Tensor]) -> Point:
    """Returns the point of the same windows at random places; the interval covers the draws, not the pictures."""
    worths = [judge.outcome(scattered(routes, seed)).total() for seed in range(NUM_SCATTERINGS)]
    return Point("random places", judge.cost(routes), fmean(worths), min(worths), max(worths))


def _fixed_points(judge: _Judge, fixed: Contender) -> list[Point]:
    """Returns the points of the first 1, 2, 4 and 8 of the fixed windows, the most expensive first."""
    steps = fixed.scores.reshape(len(fixed.scores), -1, 5)[0, 1:, 4]
    points = []
    for count in (8, 4, 2, 1):
        if count <= int(torch.isfinite(steps).sum()):
            routes = fixed.at(float(steps[count - 1]))
            points.append(fixed_point(f"{count} fixed", judge.outcome(routes), judge.cost(routes)))
    return points
