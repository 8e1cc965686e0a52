"""The price of a resolution together with the blocks that run at it."""

# N samples, R resolutions, U blocks; a route is (1 + U,): the resolution, then 0 or 1 for each block
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from modicum.adaptive.costs import CostTable, Unit, UnitCosts


@dataclass(frozen=True)
class ResolutionBlockCosts(CostTable):
    """Routes are a resolution with a keep-vector: each resolution has prices of its own for the same blocks.

    Attributes:
        labels: What each resolution is called, e.g. ``("224 px", "168 px")``.
        per_resolution: Prices of blocks and of what always runs, at each resolution, without a decision.
        decision: Cost of both decisions, paid on every route.
        unit: What the figures count.
    """

    labels: tuple[str, ...]
    per_resolution: tuple[UnitCosts, ...]
    decision: float = 0.0
    unit: Unit = "MAC"

    @property
    def plain(self) -> float:
        """Cost of every block at the most expensive resolution, without the decisions."""
        return max(costs.plain for costs in self.per_resolution)

    def of(self, routes: Tensor) -> Tensor:
        """Returns the cost of each route (N, 1 + U): that of its blocks at its resolution, and of the decisions."""
        resolutions, keep = routes[:, 0].cpu(), routes[:, 1:]
        each = torch.stack([costs.of(keep) for costs in self.per_resolution], dim=1)  # (N, R)
        return each.gather(1, resolutions[:, None])[:, 0] + self.decision

    def names(self, routes: Tensor) -> list[str]:
        """Names each route (N, 1 + U) by its resolution and how many blocks it keeps."""
        num_blocks, kept = routes.shape[1] - 1, routes[:, 1:].sum(dim=1).tolist()
        return [f"{self.labels[int(r)]}, {k} of {num_blocks}" for r, k in zip(routes[:, 0], kept, strict=True)]

    def menu(self) -> None:
        """Returns None, because there are R * 2**U routes."""
        return

    def in_milliseconds(self, milliseconds: Callable[[Tensor], float], decision: float, plain: float | None) -> Self:
        """Returns the prices in milliseconds: at each resolution the floor, then each block on top of it."""

        def at(resolution: int) -> Callable[[Tensor], float]:
            return lambda keep: milliseconds(join_routes(torch.tensor([resolution]), keep))

        timed = tuple(costs.in_milliseconds(at(index), 0.0, plain) for index, costs in enumerate(self.per_resolution))
        return replace(self, per_resolution=timed, decision=decision, unit="ms")


def join_routes(resolutions: Tensor, keep: Tensor) -> Tensor:
    """Joins resolutions (N,) and keep-vectors (N, U), bool, into routes (N, 1 + U), int64."""
    return torch.cat([resolutions[:, None].to(torch.int64), keep.to(torch.int64)], dim=1)
