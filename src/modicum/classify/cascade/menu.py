"""Chooses which candidates make up a cascade, from their answers to images that they were not fitted on."""

# N images, C candidates, M members of a cascade, K classes
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from modicum.adaptive.cascades import Tradeoff, fit_thresholds, refine
from modicum.classify.confidence import agreement, average_answers, sureness
from modicum.classify.confidence_names import ConfidenceName

AnswersName = Literal["average", "own", "best"]
AVERAGES: Mapping[AnswersName, tuple[bool, ...]] = {"average": (True,), "own": (False,), "best": (True, False)}
"""Values of ``average`` that are tried, by the recipe's option ``answers``."""
SHARES = (0.6, 0.7, 0.8, 0.9, 1.0)  # of a budget, over which a plan's accuracy is averaged: one alone is chance


@dataclass(frozen=True)
class Plan:
    """A cascade, with its costs and accuracies on the images that it was chosen on.

    Attributes:
        members: Places of its candidates, in their order.
        average: Whether its answers are means over the members so far.
        tradeoff: Its thresholds, from the most expensive to the cheapest.
    """

    members: tuple[int, ...]
    average: bool
    tradeoff: Tradeoff

    def accuracy_around(self, budget: float, floor: float = 0.0) -> float:
        """Returns the mean, over budgets from above ``floor`` to this one, of the best accuracy; 0 where nothing is."""
        budgets = [floor + share * (budget - floor) for share in SHARES]
        found = [self.tradeoff.worths[self.tradeoff.costs <= each] for each in budgets]
        return sum(float(worths.max()) if len(worths) else 0.0 for worths in found) / len(found)


def judge_members(probabilities: Tensor, confidence: ConfidenceName, *, average: bool) -> tuple[Tensor, Tensor]:
    """Returns the answers (N, M, K) of a cascade's members, and how sure they are (N, M).

    Args:
        probabilities: Shape (N, M, K), of each member alone.
        confidence: Measure of confidence; see `modicum.classify.confidence.sureness`.
        average: Whether an answer is the mean of the members so far, or the member's own.
    """
    answers = average_answers(probabilities) if average else probabilities
    return answers, sureness(answers, confidence, agreement(probabilities))


def plan_cascades(
    probabilities: Tensor,
    labels: Tensor,
    menus: Iterable[tuple[int, ...]],
    price: Callable[[Sequence[int]], Tensor],
    *,
    confidence: ConfidenceName = "margin",
    averages: Sequence[bool] = (True,),
) -> list[Plan]:
    """Fits thresholds for every menu and every way to answer.

    Args:
        probabilities: Shape (N, C, K): of every candidate alone, after its temperature.
        labels: Shape (N,), int64.
        menus: The candidates of each cascade, in the order in which they run.
        price: Returns the costs (M,) of a menu, up to and with each member, rising.
        confidence: See `judge_members`.
        averages: See `judge_members`.
    """
    plans = []
    judges = {average: _Judge(probabilities, confidence, average=average) for average in averages}
    for menu in sorted(menus):  # those that begin alike one after the other: judges remember how the last one began
        costs = price(menu)
        for average in averages if len(menu) > 1 else averages[:1]:
            named, sure = judges[average].judge(menu)
            plans.append(Plan(menu, average, fit_thresholds(sure, named == labels[:, None], costs)))
    return plans


class _Opinion(NamedTuple):
    """Holds the answer of a cascade up to one of its members."""

    total: Tensor  # (N, K): the sum of the probabilities so far; where answers are own, those of this member
    own: Tensor  # (N,): the class that this member names by itself
    agree: Tensor  # (N,) bool: whether all so far name it
    named: Tensor  # (N,): the class that the answer names
    sure: Tensor  # (N,)


class _Judge:
    """Judges menu after menu as `judge_members` does, computing what one shares with the menu before it only once.

    Takes memory for as many tables (N, K) as a menu has members, less one, and none where answers are own.
    """

    def __init__(self, probabilities: Tensor, confidence: ConfidenceName, *, average: bool) -> None:
        self.probabilities, self.confidence, self.average = probabilities, confidence, average
        alone = probabilities.unbind(dim=1)
        self._named = [_best_class(each) for each in alone]
        self._alone = [sureness(each, _without_agreement(confidence)) for each in alone]
        self._menu: tuple[int, ...] = ()
        self._opinions: list[_Opinion] = []
        self._tables: list[Tensor] = []  # of the sums up to the second member, the third, and so on; written anew

    def judge(self, menu: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Returns the classes (N, M) that the answers of a menu's members name, and how sure they are (N, M)."""
        same = 0
        while same < min(len(menu), len(self._menu)) and menu[same] == self._menu[same]:
            same += 1
        del self._opinions[same:]
        for place in menu[same:]:
            self._opinions.append(self._next(place))
        self._menu = menu
        named = torch.stack([opinion.named for opinion in self._opinions], dim=1)
        return named, torch.stack([opinion.sure for opinion in self._opinions], dim=1)

    def _next(self, place: int) -> _Opinion:
        alone, own, sure = self.probabilities[:, place], self._named[place], self._alone[place]
        if not self._opinions:
            return _Opinion(alone, own, torch.ones_like(own, dtype=torch.bool), own, sure)
        before, named, total = self._opinions[-1], own, alone
        if self.average:
            total = torch.add(before.total, alone, out=self._table(len(self._opinions)))
            named, sure = self._judge_mean(total, len(self._opinions) + 1)
        agree = before.agree & (own == before.own)
        return _Opinion(total, own, agree, named, sure * agree if self.confidence == "agreement" else sure)

    def _table(self, depth: int) -> Tensor:
        """Returns the table (N, K) that the sums up to the member at ``depth``, counted from 0, are written into."""
        if len(self._tables) < depth:
            self._tables.append(torch.empty_like(self.probabilities[:, 0], memory_format=torch.contiguous_format))
        return self._tables[depth - 1]

    def _judge_mean(self, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Returns the class (N,) that the mean of ``count`` members names, and how sure it is (N,), of their sum."""
        named = _best_class(total)
        if self.confidence == "entropy":
            return named, sureness(total / count, self.confidence)
        places = named[:, None]
        best = total.gather(1, places)
        if self.confidence == "probability":
            return named, (best / count)[:, 0]
        # Without its largest entry, the largest is the second: three passes take half the time of `topk`.
        second = total.scatter_(1, places, -1.0).amax(dim=1)
        total.scatter_(1, places, best)
        return named, (best / count)[:, 0] - second / count


def _best_class(probabilities: Tensor) -> Tensor:
    """Returns the most probable class (N,) of (N, K): NumPy's search takes a quarter of the time of torch's."""
    return torch.from_numpy(probabilities.numpy().argmax(axis=1))


def _without_agreement(confidence: ConfidenceName) -> ConfidenceName:
    return "margin" if confidence == "agreement" else confidence


def choose_plan(plans: Sequence[Plan], budget: float, floor: float = 0.0) -> Plan:
    """Chooses the cascade that is most accurate around a budget; of several, the one with the fewest members.

    Args:
        plans: At least one.
        budget: Mean cost allowed, in the unit of the plans' prices.
        floor: Cost of the cheapest member, where that is a large part of a budget: no plan costs less.
    """
    return max(plans, key=lambda plan: (plan.accuracy_around(budget, floor), -len(plan.members)))


def choose_cascade(
    probabilities: Tensor,
    labels: Tensor,
    menus: Iterable[tuple[int, ...]],
    price: Callable[[Sequence[int]], Tensor],
    *,
    answers: AnswersName,
    confidence: ConfidenceName,
    budget: float,
    floor: float = 0.0,
) -> Plan:
    """Chooses the best cascade for a budget, and divides its thresholds finely, so that its knob can meet any budget.

    Args:
        probabilities: As of `plan_cascades`.
        labels: As of `plan_cascades`.
        menus: As of `plan_cascades`.
        price: As of `plan_cascades`.
        answers: Whether answers are averaged: a key of `AVERAGES`.
        confidence: As of `judge_members`.
        budget: As of `choose_plan`.
        floor: As of `choose_plan`.
    """
    plans = plan_cascades(probabilities, labels, menus, price, confidence=confidence, averages=AVERAGES[answers])
    plan = choose_plan(plans, budget, floor)
    judged, sure = judge_members(probabilities[:, list(plan.members)], confidence, average=plan.average)
    hits = judged.argmax(dim=2) == labels[:, None]
    return replace(plan, tradeoff=refine(plan.tradeoff, sure, hits, price(plan.members)))
