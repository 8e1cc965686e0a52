"""The confidence cascade of fixed routes of a classifier: the rival that needs no training.

Its temperatures, members and thresholds come from calibration images. Members are chosen across halves: thresholds are
fitted on one half and judged on the other; those of the chosen members are then fitted on all.
"""

# N images, C fixed routes, M members of a cascade, K classes, P settings of a cascade
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from modicum.adaptive.cascades import Tradeoff
from modicum.adaptive.exits import spread_rows
from modicum.adaptive.rivals import Offer
from modicum.classify.cascade.menu import Plan, choose_plan, judge_members, plan_cascades
from modicum.classify.confidence import fit_temperatures
from modicum.classify.evidence import AnswerTable

MOST_CANDIDATES = 10  # fixed routes of which cascades are tried: 165 menus
MOST_MEMBERS = 3
MOST_KNOWN = 10_000  # calibration images that a cascade is fitted on
MOST_NUMBERS = 2**21  # probabilities per route that a cascade is fitted on, which limits the images of many classes
CHUNK = 2**22  # probabilities judged at once

Price: TypeAlias = Callable[[Sequence[int]], Tensor]


class Known(NamedTuple):
    """Holds what fixed routes said of the images of one part."""

    logs: Tensor  # (N, C, K): logarithms of probabilities
    hits: Tensor  # (N, C) bool: whether each is right
    labels: Tensor  # (N,) int64

    @classmethod
    def of(cls, table: AnswerTable, labels: Tensor, columns: Tensor | None = None) -> "Known":
        """Takes the routes at ``columns`` of an answer table, or all."""
        if columns is None:
            return cls(table.logs, table.top1, labels)
        return cls(table.logs[:, columns], table.top1[:, columns], labels)

    def take(self, rows: Tensor) -> "Known":
        """Selects images."""
        return Known(self.logs[rows], self.hits[rows], self.labels[rows])

    def thinned(self) -> "Known":
        """Keeps as many images, evenly spread, as a cascade is fitted on."""
        most = min(MOST_KNOWN, max(MOST_NUMBERS // self.logs.shape[2], 100))
        return self.take(spread_rows(torch.arange(len(self.labels)), most))


class Cascade(NamedTuple):
    """Holds a confidence cascade of fixed routes."""

    members: tuple[int, ...]  # M of the C routes, in the order in which they run
    average: bool  # whether an answer is the mean of the members so far
    temperatures: Tensor  # (C,), of every route
    thresholds: Tensor  # (P, M - 1), falling along P

    def judge(self, known: Known) -> tuple[Tensor, Tensor]:
        """Returns how sure the members are (N, M) and whether they are right (N, M), in chunks of images."""
        chosen = list(self.members)
        rows = max(1, CHUNK // (len(chosen) * known.logs.shape[2]))
        parts = [
            self._judge_chunk(logs[:, chosen], labels)
            for logs, labels in zip(torch.split(known.logs, rows), torch.split(known.labels, rows), strict=True)
        ]
        sure, hits = (torch.cat(column) for column in zip(*parts, strict=True))
        return sure, hits

    def exits(self, sure: Tensor) -> Tensor:
        """Returns the member (P, N) at which each image leaves, at each setting."""
        leaves = sure[None, :, :-1] >= self.thresholds[:, None].to(sure.dtype)
        return torch.cat([leaves, torch.ones_like(leaves[..., :1])], dim=2).int().argmax(dim=2)

    def _judge_chunk(self, logs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = (logs.float() / self.temperatures[list(self.members), None]).softmax(dim=2)
        answers, sure = judge_members(probabilities, "margin", average=self.average)
        return sure, answers.argmax(dim=2) == labels[:, None]


def fit_cascade(known: Known, price: Price, budget: float) -> Cascade:
    """Fits the confidence cascade of two or three fixed routes that is most accurate around a budget.

    Args:
        known: Calibration images, with at least two fixed routes, in order of their cost.
        price: Returns what a cascade of some routes costs up to and with each.
        budget: Mean cost, in the unit of ``price``.
    """
    known = known.thinned()
    candidates = _spread(known.logs.shape[1], MOST_CANDIDATES)
    menus = [menu for size in range(2, MOST_MEMBERS + 1) for menu in itertools.combinations(candidates, size)]
    order = torch.randperm(len(known.labels), generator=torch.Generator().manual_seed(0))
    halves = order[::2], order[1::2]
    if len(halves[1]):
        ways = [(halves[0], halves[1]), (halves[1], halves[0])]
        tried = [_try_menus(known.take(fitted), known.take(held_out), menus, price) for fitted, held_out in ways]
    else:  # a single image cannot be held out
        tried = [_plan(known, menus, price)[0]]
    best = max(
        zip(*tried, strict=True),
        key=lambda plans: (sum(plan.accuracy_around(budget) for plan in plans), -len(plans[0].members)),
    )[0]
    plans, temperatures = _plan(known, [best.members], price)
    plan = choose_plan([plan for plan in plans if plan.average == best.average], budget)
    return Cascade(plan.members, plan.average, temperatures, plan.tradeoff.thresholds)


def cascade_settings(cascade: Cascade, known: Known, costs: Tensor, name: str) -> list[Offer]:
    """Returns every setting of a cascade on some images, at rising cost.

    Args:
        cascade: The cascade.
        known: The images.
        costs: Shape (M,), up to and with each member.
        name: Of the cascade.
    """
    sure, hits = cascade.judge(known)
    settings = []
    for exits in cascade.exits(sure).flip(0):
        each = hits.gather(1, exits[:, None])[:, 0].double()
        settings.append(Offer(name, float(costs[exits].mean()), each))
    return settings


def _spread(count: int, most: int) -> list[int]:
    """Returns at most ``most`` of the numbers below ``count``, evenly spread, both ends among them."""
    if count <= most:
        return [*range(count)]
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _plan(known: Known, menus: Sequence[tuple[int, ...]], price: Price) -> tuple[list[Plan], Tensor]:
    temperatures = fit_temperatures(known.logs, known.labels)
    probabilities = (known.logs.float() / temperatures[:, None]).softmax(dim=2)
    return plan_cascades(probabilities, known.labels, menus, price, averages=(True, False)), temperatures


def _try_menus(fitted: Known, held_out: Known, menus: Sequence[tuple[int, ...]], price: Price) -> list[Plan]:
    """Returns plans whose thresholds and temperatures are of some images, and costs and worths of others."""
    plans, temperatures = _plan(fitted, menus, price)
    judged = []
    for plan in plans:
        cascade = Cascade(plan.members, plan.average, temperatures, plan.tradeoff.thresholds)
        settings = cascade_settings(cascade, held_out, price(plan.members), "")[::-1]
        costs, worths = (
            torch.tensor([getattr(offer, name) for offer in settings], dtype=torch.float64)
            for name in ("cost", "worth")
        )
        judged.append(replace(plan, tradeoff=Tradeoff(plan.tradeoff.thresholds, costs, worths)))
    return judged
