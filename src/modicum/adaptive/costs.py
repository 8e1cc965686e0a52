"""Prices of routes: multiply-adds and pixels, counted exactly, or milliseconds, measured on a device."""
# N samples, R routes of a menu, U units (blocks); for routes see `modicum.adaptive.samples`

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Self

import torch
from torch import Tensor

from modicum.adaptive.knobs import BudgetError
from modicum.adaptive.samples import Routes

Unit = Literal["MAC", "px", "ms"]


class CostTable(ABC, Generic[Routes]):
    """Cost per sample of every route of one network, in multiply-adds (``"MAC"``), pixels read or milliseconds."""

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """Says what the figures count."""

    @property
    @abstractmethod
    def decision(self) -> float:
        """Cost of the decision, paid on every route; 0 where it falls during the run and costs nothing extra."""

    @property
    @abstractmethod
    def plain(self) -> float | None:
        """Cost with everything computed and nothing decided, which savings are measured against.

        None where everything at once is no answer, such as all windows together.
        """

    @abstractmethod
    def of(self, routes: Routes) -> Tensor:
        """Returns the cost of each route, (N,) float64 on the CPU, the decision included."""

    @abstractmethod
    def names(self, routes: Routes) -> list[str]:
        """Names each route for a histogram; routes that need no distinction share a name."""

    @abstractmethod
    def menu(self) -> Tensor | None:
        """Returns the numbers of all routes (R,), most expensive first; None where they are too many to list."""

    @abstractmethod
    def in_milliseconds(self, milliseconds: Callable[[Routes], float], decision: float, plain: float | None) -> Self:
        """Returns the same table in milliseconds per sample.

        Args:
            milliseconds: Time per sample of a batch that takes one route, given as that of one sample, without the
                decision.
            decision: Time per sample of the decision.
            plain: Time per sample of the network that answers without a decision, for tables in which it is no route.
        """


def require_plain(costs: CostTable[Any]) -> float:
    """Returns the cost of the network with everything computed and nothing decided.

    Raises:
        BudgetError: If there is no such network, so that no cost is a share of its cost.
    """
    if costs.plain is None:
        raise BudgetError(f"this network does not run without decisions, so costs are no shares: state {costs.unit}")
    return costs.plain


@dataclass(frozen=True)
class MenuCosts(CostTable):
    """Routes are numbers: route j costs ``decision + per_route[j]`` (a resolution, or all work up to an exit).

    Attributes:
        route_names: What each route is called, e.g. ``("224 px", "168 px")``.
        per_route: Cost of each route without the decision, per sample.
        decision: Cost of the decision, paid on every route.
        unit: What the figures count.
        alone: Cost of the network that answers without a decision, where that is less than the most expensive route;
            None: the most expensive route.

    Example:
        >>> costs = MenuCosts(("224 px", "112 px"), (4.0e9, 1.0e9), decision=0.1e9)
        >>> costs.of(torch.tensor([1, 0])).tolist()
        [1100000000.0, 4100000000.0]
    """

    route_names: tuple[str, ...]
    per_route: tuple[float, ...]
    decision: float = 0.0
    unit: Unit = "MAC"
    alone: float | None = None

    def __post_init__(self) -> None:
        if len(self.route_names) != len(self.per_route) or not self.route_names:
            raise ValueError(f"a menu needs one cost per route, got {self.per_route} for {self.route_names}")

    @property
    def plain(self) -> float:
        """Cost of the network that answers without a decision: ``alone``, else the most expensive route."""
        return max(self.per_route) if self.alone is None else self.alone

    def of(self, routes: Tensor) -> Tensor:
        """Looks up the cost of each route (N,)."""
        return torch.tensor(self.per_route, dtype=torch.float64)[routes.cpu()] + self.decision

    def names(self, routes: Tensor) -> list[str]:
        """Looks up the name of each route (N,)."""
        return [self.route_names[route] for route in routes.tolist()]

    def menu(self) -> Tensor:
        """Returns the numbers of all routes (R,), most expensive first."""
        return torch.tensor(self.per_route, dtype=torch.float64).argsort(descending=True, stable=True)

    def in_milliseconds(self, milliseconds: Callable[[Tensor], float], decision: float, plain: float | None) -> Self:
        """Times each route by itself; ``plain`` is the time of ``alone``, where there is one."""
        times = tuple(milliseconds(torch.tensor([route])) for route in range(len(self.per_route)))
        alone = None if self.alone is None else plain
        return replace(self, per_route=times, decision=decision, unit="ms", alone=alone)


@dataclass(frozen=True)
class UnitCosts(CostTable):
    """Routes are keep-vectors: a route costs ``decision + floor`` plus the cost of each unit it keeps.

    Attributes:
        per_unit: Cost of each unit (block), per sample.
        floor: Cost of what always runs: stem, shortcuts, head.
        decision: Cost of the decision, paid on every route.
        unit: What the figures count.

    Example:
        >>> costs = UnitCosts(per_unit=(3.0, 5.0), floor=2.0, decision=1.0)
        >>> costs.of(torch.tensor([[True, False], [True, True]])).tolist()
        [6.0, 11.0]
    """

    per_unit: tuple[float, ...]
    floor: float
    decision: float = 0.0
    unit: Unit = "MAC"

    @property
    def plain(self) -> float:
        """Cost with every unit kept, without the decision."""
        return self.floor + sum(self.per_unit)

    def of(self, routes: Tensor) -> Tensor:
        """Sums the cost of each route (N, U) over the units that it keeps."""
        return routes.cpu().double() @ torch.tensor(self.per_unit, dtype=torch.float64) + self.floor + self.decision

    def names(self, routes: Tensor) -> list[str]:
        """Says how many units each route (N, U) keeps; a reader need not know which."""
        return [f"{kept} of {len(self.per_unit)} blocks" for kept in routes.sum(dim=1).tolist()]

    def menu(self) -> None:
        """Returns None: there are 2**U routes."""
        return

    def in_milliseconds(self, milliseconds: Callable[[Tensor], float], decision: float, plain: float | None) -> Self:
        """Times the floor alone, then each unit on top of it."""
        keep_one = torch.eye(len(self.per_unit), dtype=torch.bool)
        floor = milliseconds(torch.zeros_like(keep_one[:1]))
        # A unit too quick for the clock may seem to take less than nothing.
        per_unit = tuple(max(milliseconds(route[None]) - floor, 0.0) for route in keep_one)
        return replace(self, per_unit=per_unit, floor=floor, decision=decision, unit="ms")
