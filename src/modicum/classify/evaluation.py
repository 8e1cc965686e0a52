"""From a trained run to figures on its test data: calibration, curve, baselines, clock, examples.

The same for every adaptive classifier. Only whether routes can be listed differs, which the cost table says.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from modicum.adaptive.calibration import (
    Calibration,
    calibrate,
    check_disjoint,
    describe_share,
    hash_ids,
    relative_budget,
)
from modicum.adaptive.contract import device_of
from modicum.adaptive.costs import CostTable, require_plain
from modicum.adaptive.curve import Point
from modicum.adaptive.efficiency import (
    Efficiency,
    measure_efficiency,
    measure_network_times,
    measure_route_times,
)
from modicum.adaptive.evidence import cached, executed_outcome, score
from modicum.adaptive.knobs import check_knob
from modicum.classify.calibration_json import calibration_to_json
from modicum.classify.evidence import (
    AdaptiveClassifier,
    Baseline,
    Judged,
    judge_hits,
    point_from_json,
    score_and_tabulate,
    tabulate_answers,
)
from modicum.classify.fixed_routes import FixedRoutes, listed_routes
from modicum.classify.guarantee import loss_on_test
from modicum.classify.notes import read_calibration, read_classes, read_preprocessing
from modicum.classify.preparation import PreparedData, prepare
from modicum.classify.recipe import ClassifierRecipe
from modicum.classify.results import Detail, Evaluation, Example
from modicum.classify.rival_cascade import Known
from modicum.classify.rivals import Contest, scatter_hits
from modicum.contract import AnySystem
from modicum.datasets.sources import Part
from modicum.storage.calibrations import keep_calibration
from modicum.storage.errors import RunError
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import parse_record, read_sealed

BASELINES_NOTE = "has_baselines"  # of weights: whether the training left some
BASELINES_REMEDY = "put a copy back, or begin a new run"
NUM_EXAMPLES = 12  # images in each gallery of a report
TIMED_IMAGES = 64  # test images that the clock runs on: enough for two batches of 32


class RivalParts(NamedTuple):
    """Parts of a system that define its simple rivals, named as in `modicum.contract.System`."""

    fixed_routes: Callable[[Any, Tensor], FixedRoutes | None] | None = None
    alone: Callable[[Any, str], nn.Module | None] | None = None

    @classmethod
    def of(cls, system: AnySystem) -> "RivalParts":
        """Imports the parts of a system."""
        fixed_routes = system.fixed_routes() if system.fixed_routes else None
        return cls(fixed_routes, system.alone() if system.alone else None)


NO_PARTS = RivalParts()  # the routes of a menu are static rivals, and no cascade is made


class DescribeDetails(Protocol):
    """What a kind of network shows of itself in a report."""

    def __call__(self, model: Any, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:  # noqa: ANN401  of that kind
        """Details on the test part: what the model made of it, and the routes that its samples take."""


def open_data(recipe: ClassifierRecipe, run: RunFolder) -> PreparedData:
    """Opens the data of a finished run, split as in its training.

    Raises:
        RunError: If the run holds no splits yet, or the data have other classes than it was trained on.
    """
    if not run.weights.exists():
        raise RunError(f"{run.path} has no {run.weights.name} yet: finish its training with --resume")
    used: tuple[Part, ...] = ("calibration", "test")
    data = prepare(recipe.data, recipe.images, recipe.image_px, recipe.seed, run, parts=used)
    known = read_classes(run.weights)
    if known != list(data.source.classes):
        raise RunError(f"{data.source.origin} has other classes than {run.path} was trained on, {known}: restore them")
    trained_with = read_preprocessing(run.weights)  # which may come from pretrained weights, not from the recipe
    return data if trained_with is None else replace(data, preprocessing=trained_with)


def judge(model: AdaptiveClassifier, data: PreparedData, part: Part) -> Judged:
    """Scores a part of the data, and runs every route on it where routes can be listed."""
    batches = data.evaluate_on(part, device_of(model))
    ids = data.splits.part(part)
    labels = data.labels(part)
    if model.costs.menu() is None:
        outcome = cached(executed_outcome(model, batches, judge_hits))
        return Judged(score(model, batches, ids), labels, None, outcome)
    scored, answers = score_and_tabulate(model, batches, ids)
    return Judged(scored, labels, answers, answers.hits.outcome)


def calibrate_run(
    run: RunFolder, model: AdaptiveClassifier, data: PreparedData, costs: CostTable, target: float
) -> Calibration:
    """Chooses the knob for a mean cost of ``target`` on the calibration part, and keeps it in the run folder.

    Multiply-adds are asked for as shares of the plain network's, so that is how they are named where none can be met.

    Raises:
        BudgetError: If the target is below the cheapest routes.
    """
    part = judge(model, data, "calibration")
    describe = describe_share(costs) if costs.unit == "MAC" else None
    calibration = calibrate(part.scored, part.outcome, model.policy, costs, target, describe=describe)
    keep_calibration(run, calibration_to_json(calibration))
    return calibration


def read_baselines(run: RunFolder) -> tuple[Point, ...]:
    """Reads the results of networks without a decision on the test data, as the training stored them."""
    rows = _read_baselines_file(run).get("points", ())
    return tuple(parse_record(point_from_json, row, run.baselines, remedy=BASELINES_REMEDY) for row in rows)


def read_contestants(run: RunFolder, num_images: int) -> tuple[tuple[Baseline, ...], tuple[str, ...]]:
    """Reads the same with the hits on single images, and the names of those whose hits an older training did not keep.

    Raises:
        RunError: If they were tested on another number of images.
    """
    points, found = read_baselines(run), _read_baselines_file(run).get("hits")
    if found is None:
        scattered = tuple(Baseline(point, scatter_hits(point, num_images)) for point in points)
        return scattered, tuple(point.name for point in points)
    if len(found) != len(points) or any(len(hits) != num_images for hits in found):
        raise RunError(f"{run.baselines} was made on other test images than {run.splits.name} names: begin a new run")
    hits = [torch.tensor([hit == "1" for hit in word]) for word in found]
    return tuple(map(Baseline, points, hits)), ()


def _read_baselines_file(run: RunFolder) -> dict[str, Any]:
    known = read_header(run.weights).notes.get(BASELINES_NOTE, False) if run.weights.exists() else False
    if not run.baselines.exists() and not known:
        return {}
    return read_sealed(run.baselines, remedy=BASELINES_REMEDY)


def prepare_contest(
    run: RunFolder,
    model: AdaptiveClassifier,
    data: PreparedData,
    test: Judged,
    fixed_routes: Callable[[Any, Tensor], FixedRoutes | None] | None,
) -> Contest:
    """Gathers what simple rivals of a network are made of; runs the network on the calibration part if it needs to.

    Args:
        run: The run folder, with its baselines.
        model: Its network, in evaluation mode.
        data: Its data.
        test: The judged test part.
        fixed_routes: See `modicum.contract.System`.
    """
    baselines, unpaired = read_contestants(run, len(test.labels))
    if fixed_routes is None:
        fixed, known = listed_routes(model.costs, "own cascade"), None
    else:
        calibration = judge(model, data, "calibration")
        fixed = fixed_routes(model, calibration.scored.scores)
        known = None
        if fixed is not None and fixed.work != "own cascade":
            known = _know(model, data, "calibration", calibration, fixed)
    seen = None if fixed is None else _know(model, data, "test", test, fixed)
    return Contest(model.costs, fixed, known, seen, baselines, unpaired)


def _know(model: AdaptiveClassifier, data: PreparedData, part: Part, judged: Judged, fixed: FixedRoutes) -> Known:
    """Returns what fixed routes say of a part; runs them if they are no routes of a menu."""
    if judged.answers is not None:
        return Known.of(judged.answers, judged.labels, fixed.routes)
    batches = data.evaluate_on(part, device_of(model))
    return Known.of(tabulate_answers(model, batches, fixed.routes), judged.labels)


def networks_alone(
    model: AdaptiveClassifier, contest: Contest, alone: Callable[[Any, str], nn.Module | None] | None
) -> dict[str, nn.Module]:
    """Returns networks to be timed in place of baselines that run what no route runs, by name."""
    built = {name: alone(model, name) for name in contest.without_route()} if alone else {}
    return {name: network.eval() for name, network in built.items() if network is not None}


def evaluate_run(
    run: RunFolder,
    model: AdaptiveClassifier,
    recipe: ClassifierRecipe,
    *,
    system: str,
    knob: float | None = None,
    batch_sizes: tuple[int, ...] = (1, 32),
    describe: DescribeDetails | None = None,
    rivals: RivalParts = NO_PARTS,
) -> Evaluation:
    """Measures everything that a report shows on the test part.

    Args:
        run: A finished run; calibrated for the recipe's budget if it is not yet.
        model: Its network, in evaluation mode.
        recipe: Its recipe.
        system: Id of the system.
        knob: Used instead of the calibrated one.
        batch_sizes: Batch sizes to time; empty for none.
        describe: Gives the details that only this kind of network has.
        rivals: Parts of the system that define its simple rivals.

    Raises:
        RunError: If the training is not finished.
        ValueError: If calibration and test data overlap.
        KnobError: If ``knob`` is not a finite number.
    """
    if knob is not None:  # refused before the data are opened
        check_knob(knob)
    data = open_data(recipe, run)
    check_disjoint(data.splits.calibration, data.splits.test)
    calibration = read_calibration(run)
    if calibration is None:
        calibration = calibrate_run(run, model, data, model.costs, relative_budget(recipe.budget, model.costs))
    is_own = calibration.guarantee is None or calibration.guarantee.source is None
    if is_own and calibration.data_hash != hash_ids(data.splits.calibration):
        raise RunError(f"{run.calibration} was made on other images than {run.splits.name} names: calibrate again")
    test = judge(model, data, "test")
    shown = loss_on_test(model, data, calibration, test) if knob is None else None
    knob = calibration.knob if knob is None else knob
    routes = model.policy.decide(test.scored.scores, knob)
    cheapest, most_expensive = choose_examples(model, data, test, routes)
    timed = timed_images(model, data)
    calibrated, hits = test.point("calibrated", routes, model.costs, knob), test.outcome(routes).each()
    contest = prepare_contest(run, model, data, test, rivals.fixed_routes)
    plain, num_shuffles = tuple(each.point for each in contest.baselines), 20 if test.answers is not None else 3
    curve = test.curve(model.policy, model.costs, plain=plain, num_shuffles=num_shuffles)
    curve, *standings = contest.stand(curve, model.costs, calibrated.cost, hits)
    curve_ms = None
    if batch_sizes:
        costs_ms = measure_route_times(model, model.plain_network().eval(), timed, max(batch_sizes))
        times = measure_network_times(networks_alone(model, contest, rivals.alone), timed, max(batch_sizes))
        knobs = [point.knob for point in curve.routed if point.knob is not None]
        curve_ms = test.curve(model.policy, costs_ms, knobs=knobs, num_shuffles=3)
        curve_ms, in_ms = contest.stand(curve_ms, costs_ms, float(costs_ms.of(routes).mean()), hits, times)
        standings.append(in_ms)
    return Evaluation(
        system=system,
        data=data.source.name,
        num_images=data.splits.sizes(),
        classes=tuple(data.source.classes),
        resolution_px=data.preprocessing.size,
        curve=curve,
        calibration=calibration,
        calibrated=calibrated,
        efficiency=measure_on_test(model, timed, knob, batch_sizes),
        cheapest=cheapest,
        most_expensive=most_expensive,
        curve_ms=curve_ms,
        loss_on_test=shown,
        standings=tuple(standings),
        details=describe(model, data, test, routes) if describe else (),
    )


def timed_images(model: AdaptiveClassifier, data: PreparedData) -> Tensor:
    """Returns the test images to time, (n, 3, S, S): a few, drawn at random, on the device of the model."""
    indices = data.splits.indices(data.source, "test")
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(data.seed))
    chosen = [indices[i] for i in order[:TIMED_IMAGES]]
    return torch.cat([images for images, _ in data.evaluate_indices(chosen, device_of(model))])


def measure_on_test(
    model: AdaptiveClassifier, images: Tensor, knob: float, batch_sizes: tuple[int, ...]
) -> tuple[Efficiency, ...]:
    """Times the saving at ``knob`` against the plain network, at each batch size for which there are enough images."""
    possible = [size for size in batch_sizes if size <= len(images)]
    return measure_efficiency(model, model.plain_network().eval(), images, possible, knob=knob)


def choose_examples(
    model: AdaptiveClassifier, data: PreparedData, judged: Judged, routes: Tensor
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Picks a few test images on the cheapest and on the most expensive routes, spread over the classes."""
    costs = model.costs.of(routes)
    order = costs.argsort(stable=True)
    # Every so-many-th of the cheapest tenth, because a set is often sorted by class and equal costs keep that order.
    pool = max(NUM_EXAMPLES, len(order) // 10)
    step = max(1, pool // NUM_EXAMPLES)
    picks = order[:pool:step][:NUM_EXAMPLES], order.flip(0)[:pool:step][:NUM_EXAMPLES]
    cheap, dear = (tuple(make_examples(model, data, judged, routes, pick)) for pick in picks)
    return cheap, dear


@torch.inference_mode()
def make_examples(
    model: AdaptiveClassifier, data: PreparedData, judged: Judged, routes: Tensor, rows: Tensor
) -> list[Example]:
    """Returns the test images at ``rows`` (n,) as a report shows them, run on their ``routes`` (N, ...)."""
    indices = data.splits.indices(data.source, "test")
    batches = data.evaluate_indices([indices[row] for row in rows], device_of(model))
    images = torch.cat([images for images, _ in batches])
    confidence, predicted = model.run(images, routes[rows]).softmax(dim=1).max(dim=1)
    names, costs = model.costs.names(routes[rows]), model.costs.of(routes[rows]) / require_plain(model.costs)
    return [
        Example(
            name=judged.scored.ids[row],
            image=data.picture(indices[row]),
            route=names[place],
            cost=float(costs[place]),
            label=data.source.classes[int(judged.labels[row])],
            predicted=data.source.classes[int(predicted[place])],
            probability=float(confidence[place]),
        )
        for place, row in enumerate(rows.tolist())
    ]
