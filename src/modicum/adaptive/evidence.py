"""What one pass over a data set leaves behind, so that any knob can be judged afterwards.

*Table mode*: every route of a menu is run once on every sample and only small values stay; each knob is then a look-up.
*Execute mode*: for routes too many to list, or to verify the table, the chosen routes are run. Both are an `Outcome`,
and whoever draws curves or baselines does not know which it has.
"""
# N samples, R routes, S scores

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from typing_extensions import TypeVar as TypeVarWithDefault

from modicum.adaptive.contract import AdaptiveNetwork
from modicum.adaptive.samples import Inputs, Outputs, Routes, Targets, take
from modicum.adaptive.worth import Worth

Judged = TypeVarWithDefault("Judged", default=Worth)
AnyWorth = TypeVar("AnyWorth", bound=Worth)

Outcome: TypeAlias = Callable[[Routes], Worth]
"""From the routes of all samples to the worth of what the network gives on them."""

Batches: TypeAlias = Iterable[tuple[Inputs, Targets]]
"""Inputs with targets, in the same order on every iteration; on any device."""

Judge: TypeAlias = Callable[[Outputs, Targets], Judged]
"""From outputs and targets of a batch to what is kept of it."""


@dataclass(frozen=True)
class Scored:
    """The scores that decisions depend on, on the CPU.

    Attributes:
        ids: Name of each sample, unique within a data set.
        scores: Shape (N, S).
    """

    ids: tuple[str, ...]
    scores: Tensor


@dataclass(frozen=True)
class RouteTable:
    """Holds the worth of every route of a menu on the same samples.

    Attributes:
        per_route: R of them, in the order of the menu's numbers.
    """

    per_route: tuple[Worth, ...]

    def outcome(self, routes: Tensor) -> Worth:
        """Looks up the worth of each sample on its route (N,): an `Outcome`."""
        first, *others = self.per_route
        return first.join(others).take(routes * len(first) + torch.arange(len(routes)))

    def each(self) -> Tensor:
        """Returns the worth of each sample alone on each route, (N, R) float64."""
        return torch.stack([worth.each() for worth in self.per_route], dim=1)


@torch.inference_mode()
def score(model: AdaptiveNetwork[Inputs, Any, object], batches: Batches[Inputs, Any], ids: tuple[str, ...]) -> Scored:
    """Scores every sample; one pass over ``batches``.

    Raises:
        ValueError: If ``batches`` does not hold one sample per id.
    """
    return scored_of(ids, [model.scores(inputs).float().cpu() for inputs, _ in batches])


def scored_of(ids: tuple[str, ...], rows: Sequence[Tensor]) -> Scored:
    """Returns the scores of batches (n, S), one after the other, under the names of their samples.

    Raises:
        ValueError: If there are none, or not one per id.
    """
    if not rows:
        raise ValueError("batches hold no samples, so there is nothing to score")
    scored = Scored(ids, torch.cat(list(rows)))
    if not len(ids) == len(set(ids)) == len(scored.scores):
        raise ValueError(f"ids must name each sample once: {len(set(ids))} names for {len(scored.scores)} samples")
    return scored


def tabulate(
    model: AdaptiveNetwork[Inputs, Tensor, Outputs],
    batches: Batches[Inputs, Targets],
    judge: Judge[Outputs, Targets],
) -> RouteTable:
    """Judges every route of the menu on every sample; one pass over ``batches``.

    Raises:
        ValueError: If the routes of this model are too many to list.
    """
    return RouteTable(tuple(_joined(parts) for parts in judge_every_route(model, batches, judge)))


def judge_every_route(
    model: AdaptiveNetwork[Inputs, Tensor, Outputs],
    batches: Batches[Inputs, Targets],
    judge: Judge[Outputs, Targets, Judged],
) -> list[list[Judged]]:
    """Runs every route of the menu on every sample; returns, for each route, what ``judge`` makes of each batch.

    Raises:
        ValueError: If the routes of this model are too many to list.
    """
    menu = model.costs.menu()
    if menu is None:
        raise ValueError("the routes of this model are too many to list: use executed_outcome instead")
    return judge_routes(model, batches, judge, torch.arange(len(menu)))


@torch.inference_mode()
def judge_routes(
    model: AdaptiveNetwork[Inputs, Routes, Outputs],
    batches: Batches[Inputs, Targets],
    judge: Judge[Outputs, Targets, Judged],
    routes: Routes,
) -> list[list[Judged]]:
    """Runs each of ``routes`` (R, ...) on every sample; returns, for each, what ``judge`` makes of each batch."""
    judged: list[list[Judged]] = [[] for _ in range(len(routes))]
    for inputs, targets in batches:
        for number, parts in enumerate(judged):
            same = take(routes, torch.full((len(inputs),), number))
            parts.append(judge(model.run(inputs, same), targets))
    return judged


def executed_outcome(
    model: AdaptiveNetwork[Inputs, Routes, Outputs],
    batches: Batches[Inputs, Targets],
    judge: Judge[Outputs, Targets],
) -> Outcome[Routes]:
    """Returns an `Outcome` that runs the given routes over ``batches`` each time it is asked.

    It raises a `ValueError` if it is given routes for more samples than there are.
    """

    @torch.inference_mode()
    def outcome(routes: Routes) -> Worth:
        parts, start = [], 0
        for inputs, targets in batches:
            own = take(routes, slice(start, start + len(inputs)))
            parts.append(judge(model.run(inputs, own), targets))
            start += len(inputs)
        if start < len(routes):
            raise ValueError(f"routes must name one route per sample, got {len(routes)} for {start} samples")
        return _joined(parts)

    return outcome


def cached(outcome: Outcome[Routes]) -> Outcome[Routes]:
    """Returns the same `Outcome`, which executes each routing once: executing takes a pass over all samples.

    Curves in multiply-adds and in milliseconds, for example, ask for the same routes.
    """
    known: dict[bytes, Worth] = {}

    def look_up(routes: Routes) -> Worth:
        key = _digest(routes)
        if key not in known:
            known[key] = outcome(routes)
        return known[key]

    return look_up


def _joined(parts: list[AnyWorth]) -> AnyWorth:
    return parts[0].join(parts[1:])


def _digest(routes: Tensor | list[Tensor]) -> bytes:
    digest = hashlib.blake2b()
    for part in [routes] if isinstance(routes, Tensor) else routes:
        digest.update(f"{tuple(part.shape)} {part.dtype}".encode())
        digest.update(part.cpu().contiguous().numpy().tobytes())
    return digest.digest()
