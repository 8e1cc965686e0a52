"""Milliseconds of several runs that can be compared: all their routes are timed in turn, in one run on one device."""
# N samples

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from modicum.adaptive.costs import CostTable, require_plain
from modicum.adaptive.efficiency import Efficiency, mean_macs
from modicum.classify.evidence import AdaptiveClassifier, Judged
from modicum.classify.results import Evaluation
from modicum.classify.rivals import Contest
from modicum.measuring.timing import device_name, time_in_turn

BATCH = 32  # samples per call, the larger of the two sizes that an evaluation reads the clock at


@dataclass(frozen=True)
class Subject:
    """A run to be timed.

    Attributes:
        evaluation: Its figures, with the knobs to be priced.
        model: Its network, in evaluation mode.
        images: Shape (N, 3, S, S), on the device of the model; repeated or cut to fill batches.
        judged: Its test part.
        contest: Parts of its simple rivals.
        alone: Networks that are timed in place of baselines, by their names.
    """

    evaluation: Evaluation
    model: AdaptiveClassifier
    images: Tensor
    judged: Judged
    contest: Contest
    alone: Mapping[str, nn.Module] = field(default_factory=dict)


@torch.inference_mode()
def retime(subjects: Sequence[Subject], *, batch_size: int = BATCH, rounds: int = 15) -> list[Evaluation]:
    """Measures the milliseconds of the evaluations anew: in every round, each route of each run is timed once.

    Args:
        subjects: All on one device.
        batch_size: Samples per call, the same for all.
        rounds: Readings, of which the median counts.
    """
    works = [_work(subject, batch_size) for subject in subjects]
    runs = {f"{number} {name}": run for number, work in enumerate(works) for name, run in work.items()}
    seconds = time_in_turn(runs, rounds=rounds)
    results = []
    for number, (subject, work) in enumerate(zip(subjects, works, strict=True)):
        per_image = {name: 1000 * seconds[f"{number} {name}"] / batch_size for name in work}
        results.append(_with_times(subject, per_image, batch_size))
    return results


def _work(subject: Subject, batch_size: int) -> dict[str, Callable[[], object]]:
    """Returns what to time of one run, by name: its routes, its decision, the routed and the plain network."""
    model, plain = subject.model, subject.model.plain_network().eval()
    batch = subject.images[torch.arange(batch_size) % len(subject.images)]
    knob = subject.evaluation.calibration.knob

    def on_route(route: Tensor) -> Callable[[], object]:
        routes = route.expand(batch_size, *route.shape[1:])
        return lambda: model.run(batch, routes)

    work = {f"route {place}": on_route(route) for place, route in enumerate(_timed_routes(model.costs))}
    work |= {"plain": lambda: plain(batch), "routed": lambda: model.predict(batch, knob)}
    work |= {f"alone {name}": partial(network, batch) for name, network in subject.alone.items()}
    return work | ({"decision": lambda: model.scores(batch)} if model.costs.decision else {})


def _timed_routes(costs: CostTable) -> list[Tensor]:
    """Lists the routes whose times ``costs`` needs, in its order."""
    routes: list[Tensor] = []

    def note(route: Tensor) -> float:
        routes.append(route)
        return 0.0

    costs.in_milliseconds(note, 0.0, 0.0)
    return routes


def _with_times(subject: Subject, per_image: dict[str, float], batch_size: int) -> Evaluation:
    evaluation, judged, model = subject.evaluation, subject.judged, subject.model
    times: Iterator[float] = (value for name, value in per_image.items() if name.startswith("route "))
    costs = model.costs.in_milliseconds(lambda _: next(times), per_image.get("decision", 0.0), per_image["plain"])
    knobs = [point.knob for point in evaluation.curve.routed if point.knob is not None]
    curve = judged.curve(model.policy, costs, knobs=knobs, num_shuffles=3)
    routes = model.policy.decide(judged.scored.scores, evaluation.calibration.knob)
    alone = {name: per_image[f"alone {name}"] for name in subject.alone}
    cost, hits = float(costs.of(routes).mean()), judged.outcome(routes).each()
    curve, in_ms = subject.contest.stand(curve, costs, cost, hits, alone)
    others = [each for each in evaluation.standings if each.unit != "ms"]
    efficiency = _efficiency(subject, per_image, batch_size)
    return replace(evaluation, curve_ms=curve, standings=(*others, in_ms), efficiency=(efficiency,))


def _efficiency(subject: Subject, per_image: dict[str, float], batch_size: int) -> Efficiency:
    model = subject.model
    return Efficiency(
        batch_size=batch_size,
        threads=torch.get_num_threads(),
        device=device_name(subject.images.device),
        plain_ms=per_image["plain"],
        routed_ms=per_image["routed"],
        saved_in_theory=1
        - mean_macs(model, subject.images, subject.evaluation.calibration.knob) / require_plain(model.costs),
        saved_on_clock=1 - per_image["routed"] / per_image["plain"],
    )
