"""The routes of a network that serve as static rivals, and of which a confidence cascade is made."""

# C fixed routes, M members of a cascade
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from modicum.adaptive.costs import CostTable

Work = Literal["apart", "continued", "own cascade"]
"""Price of a route that runs after another one: "apart" pays all of it, "continued" what it adds. "own cascade" means
that no cascade is made of the routes, because they are the steps of one."""


class FixedRoutes(NamedTuple):
    """Holds routes each of which can serve all samples, cheapest first."""

    routes: Tensor  # (C, ...), as the network takes them
    work: Work

    def costs(self, table: CostTable[Any]) -> Tensor:
        """Returns the cost of each by itself, (C,) float64, no decision paid."""
        return table.of(self.routes) - table.decision

    def cascade_costs(self, table: CostTable[Any], members: Sequence[int]) -> Tensor:
        """Returns what a cascade of some of them costs up to and with each, (M,) float64, rising."""
        alone = self.costs(table)[list(members)]
        return alone.cummax(dim=0).values if self.work == "continued" else alone.cumsum(dim=0)


def listed_routes(table: CostTable[Any], work: Work) -> FixedRoutes | None:
    """Returns every route of a menu; None where routes are too many to list."""
    menu = table.menu()
    return None if menu is None else FixedRoutes(menu.flip(0), work)


def separate_routes(model: Any, scores: Tensor) -> FixedRoutes | None:  # noqa: ANN401  any network with a menu
    """Returns every route of a network whose routes share no work."""
    return listed_routes(model.costs, "apart")


def continued_routes(model: Any, scores: Tensor) -> FixedRoutes | None:  # noqa: ANN401  any network with a menu
    """Returns every route of a network each of whose routes goes on where the one before stops."""
    return listed_routes(model.costs, "continued")


def nested_keeps(keep_scores: Tensor, num_paths: int) -> Tensor:
    """Returns keep-vectors (C, U), bool, each within the next, from few blocks to all.

    Blocks are ranked by the mean of their scores, so a path keeps those that a policy keeps most readily.

    Args:
        keep_scores: Shape (N, U), N at least 1: of each block on samples that nothing is tested on.
        num_paths: Number of paths; fewer where there are fewer blocks.
    """
    num_blocks = keep_scores.shape[1]
    rank = keep_scores.double().mean(dim=0).argsort(descending=True, stable=True).argsort()
    kept = sorted({max(1, round(num_blocks * number / num_paths)) for number in range(1, num_paths + 1)})
    return torch.stack([rank < count for count in kept])
