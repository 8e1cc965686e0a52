"""Evidence about classifiers: hits, the five most probable classes, confidences, and the names that files use."""
# N samples, R routes, K classes

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import AdaptiveNetwork, Policy
from modicum.adaptive.costs import CostTable
from modicum.adaptive.curve import Curve, Point, fixed_point, routed_point, trace_curve, worths_of
from modicum.adaptive.evidence import (
    Batches,
    Outcome,
    RouteTable,
    Scored,
    judge_every_route,
    judge_routes,
    score,
    scored_of,
)
from modicum.adaptive.worth import MeanWorth
from modicum.classify.calibration_json import CALIBRATION_FORMS
from modicum.classify.routed import AnswersEveryStep
from modicum.classify.standings import Standing
from modicum.storage.files import JSON
from modicum.storage.values import Form, renaming, to_plain

MOST_EXACT = 1024  # logarithms of probabilities per image, over all routes, that are kept in full precision
LEAST_LOG = -6e4  # of a probability, so that half precision can hold it


class AdaptiveClassifier(AdaptiveNetwork[Tensor, Tensor, Tensor], Protocol):
    """An adaptive network from images (N, 3, H, W) to logits (N, K), whose worth is a hit."""

    def plain_network(self) -> nn.Module:
        """Returns the network with everything computed and nothing decided; it shares nothing with this one."""


def judge_hits(logits: Tensor, labels: Tensor) -> MeanWorth:
    """Judges whether the most probable class of ``logits`` (N, K) is the label (N,)."""
    return MeanWorth((logits.argmax(dim=1) == labels.to(logits.device)).cpu())


class Baseline(NamedTuple):
    """Result of a network without a decision on the test images."""

    point: Point
    hits: Tensor  # (N,) bool, in the order of the test part: whether each image was classified right

    @classmethod
    def of(cls, name: str, hits: MeanWorth, cost: float) -> "Baseline":
        """Returns the result of a network that costs the same for every image."""
        return cls(fixed_point(name, hits, cost), hits.values)


class _Answers(NamedTuple):
    """One route's answers to a batch; see `AnswerTable`."""

    predicted: Tensor  # (n,)
    confidence: Tensor  # (n,)
    top1: Tensor  # (n,)
    top5: Tensor  # (n,)
    logs: Tensor  # (n, K) float32


@dataclass(frozen=True)
class AnswerTable:
    """The answer of every route of a menu to every sample; all on the CPU.

    Attributes:
        predicted: Shape (N, R), int64: the most probable class.
        confidence: Shape (N, R), float32 in [0, 1]: its probability.
        top1: Shape (N, R), bool: the most probable class is the label.
        top5: Shape (N, R), bool: the label is among the five most probable classes.
        logs: Shape (N, R, K), logarithms of probabilities, of which cascades are made: float32, or float16 where an
            image has more than `MOST_EXACT` of them (300 MB for 50,000 images, 3 routes and 1,000 classes).
    """

    predicted: Tensor
    confidence: Tensor
    top1: Tensor
    top5: Tensor
    logs: Tensor

    @property
    def hits(self) -> RouteTable:
        """Returns the worth of every route: its hits."""
        return _table_of(self.top1)

    def classes(self, routes: Tensor) -> Tensor:
        """Returns the most probable class (N,) of each sample on its route (N,)."""
        return self.predicted.gather(1, routes[:, None])[:, 0]

    @property
    def also(self) -> dict[str, Outcome[Tensor]]:
        """Returns top-5 accuracy, which a curve notes beside hits."""
        return {"top5": _table_of(self.top5).outcome}


def _table_of(hits: Tensor) -> RouteTable:
    return RouteTable(tuple(MeanWorth(column) for column in hits.unbind(dim=1)))


def tabulate_answers(model: AdaptiveNetwork, batches: Batches, routes: Tensor | None = None) -> AnswerTable:
    """Runs routes on every sample; one pass over ``batches`` of images and labels.

    Args:
        model: The network.
        batches: Images and labels.
        routes: Shape (R, ...); None for every route of the menu.

    Raises:
        ValueError: If every route is asked for and there are too many to list.
    """
    if routes is None:
        menu = model.costs.menu()
        judged = judge_every_route(model, batches, partial(_judge_answers, num_routes=0 if menu is None else len(menu)))
    else:
        judged = judge_routes(model, batches, partial(_judge_answers, num_routes=len(routes)), routes)
    return _join(judged)


@torch.inference_mode()
def score_and_tabulate(
    model: AdaptiveClassifier, batches: Batches[Tensor, Tensor], ids: tuple[str, ...]
) -> tuple[Scored, AnswerTable]:
    """Scores every sample and runs every route of the menu on it: in one pass where one gives both, else in two.

    Args:
        model: The network.
        batches: Images and labels.
        ids: Name of each image.

    Raises:
        ValueError: If the routes of this model are too many to list, or ``batches`` does not hold one sample per id.
    """
    if not isinstance(model, AnswersEveryStep):
        return score(model, batches, ids), tabulate_answers(model, batches)
    sure, judged = [], []
    for images, labels in batches:
        every = model.every_step(images)
        sure.append(every.sure.float().cpu())
        logits = every.logits.unbind(dim=1)
        judged.append([_judge_answers(rows, labels, num_routes=len(logits)) for rows in logits])
    return scored_of(ids, sure), _join(zip(*judged, strict=True))


def _join(by_route: Iterable[Iterable[_Answers]]) -> AnswerTable:
    """Joins the batches of each route, and sets the routes side by side."""
    columns = [[torch.cat(column) for column in zip(*parts, strict=True)] for parts in by_route]
    return AnswerTable(*(torch.stack(column, dim=1) for column in zip(*columns, strict=True)))


def _judge_answers(logits: Tensor, labels: Tensor, *, num_routes: int) -> _Answers:
    logits, labels = logits.cpu(), labels.cpu()
    predicted = logits.argmax(dim=1)  # not of the probabilities, which may tie where logits differ
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    confidence = logits.float().softmax(dim=1).amax(dim=1)
    logs = logits.float().log_softmax(dim=1).clamp_min(LEAST_LOG)
    if num_routes * logits.shape[1] > MOST_EXACT:
        logs = logs.half()
    return _Answers(predicted, confidence, predicted == labels, (best == labels[:, None]).any(dim=1), logs)


@dataclass(frozen=True)
class Judged:
    """A part of the data with what the model made of it.

    Attributes:
        scored: Its images.
        labels: Their classes, (N,) int64.
        answers: What every route gives; None where routes are too many to list.
        outcome: What routes are worth.
    """

    scored: Scored
    labels: Tensor
    answers: AnswerTable | None
    outcome: Outcome[Tensor]

    def curve(
        self,
        policy: Policy,
        costs: CostTable,
        *,
        plain: tuple[Point, ...] = (),
        knobs: Sequence[float] | None = None,
        num_shuffles: int,
    ) -> Curve:
        """Traces the curve of hits against cost; arguments as of `modicum.adaptive.curve.trace_curve`."""
        return trace_curve(
            self.scored,
            self.outcome,
            policy,
            costs,
            table=None if self.answers is None else self.answers.hits,
            also=self._also,
            plain=plain,
            knobs=knobs,
            num_shuffles=num_shuffles,
        )

    def point(self, name: str, routes: Tensor, costs: CostTable, knob: float) -> Point:
        """Returns the point of ``routes``, which ``knob`` led to."""
        point = routed_point(name, self.outcome(routes), routes, costs, knob=knob)
        return replace(point, also=worths_of(self._also, routes))

    @property
    def _also(self) -> dict[str, Outcome[Tensor]] | None:
        return None if self.answers is None else self.answers.also


def _point_keys(fields: Mapping[str, JSON]) -> dict[str, JSON]:
    also = fields["also"]
    keys = {"name": "label", "worth": "accuracy", "also": "top5"}
    top5 = also["top5"] if isinstance(also, Mapping) else None
    return {keys.get(name, name): top5 if name == "also" else value for name, value in fields.items()}


def _point_fields(raw: Mapping[str, JSON]) -> dict[str, JSON]:
    top5 = raw.get("top5")
    fields = {{"label": "name", "accuracy": "worth"}.get(key, key): value for key, value in raw.items()}
    return {**fields, "also": None if top5 is None else {"top5": top5}}


FORMS: Mapping[type, Form] = {
    Point: Form(_point_keys, _point_fields),
    **CALIBRATION_FORMS,
    Standing: renaming(worth="accuracy"),
}
"""The keys under which files and the command line tell points and calibrations of classifiers."""


def point_to_json(point: Point) -> dict[str, JSON]:
    """Returns a point as files and the command line tell it; `point_from_json` gives an equal one."""
    return to_plain(point, FORMS)


def point_from_json(
    label: str,
    cost: float,
    accuracy: float,
    low: float,
    high: float,
    knob: float | None = None,
    shares: dict[str, float] | None = None,
    top5: float | None = None,
) -> Point:
    """Returns the point that `point_to_json` told; the arguments are the keys of a file."""
    return Point(label, cost, accuracy, low, high, knob, shares, None if top5 is None else {"top5": top5})
