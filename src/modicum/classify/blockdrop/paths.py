"""Execution by whole policies: one plain network per policy, for data on which few policies occur.

On ImageNet the published network ends with ten policies, and a plain network can be compiled, folded or captured, which
one that decides block by block cannot.
"""

# B batch, U droppable blocks, K classes, S side of the image in pixels
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from modicum.adaptive.execution import select_run_scatter
from modicum.classify.blockdrop.droppable import view_without_droppable
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.fixed_routes import FixedRoutes, nested_keeps

NUM_PATHS = 4  # fixed ones, that serve as static rivals of the policy


class StaticPaths:
    """Runs each group of images with one policy through a plain network of its own, made once and remembered.

    It pays where a batch holds few policies, and costs time where nearly every image has its own: measure it against
    `BlockDrop.run` on the policies of your data. For users of Python: of the commands, only
    ``modicum bench`` runs it, to compare.

    Args:
        network: The network, in evaluation mode; plain networks share its weights unless ``prepare`` copies them.
        capacity: Most plain networks remembered; the one unused for longest goes first. At least 1.
        min_rows: Policies with fewer images in a batch run together by `BlockDrop.run`, unless their path is there.
        prepare: What to do with a new plain network, e.g. fold its normalisation, or compile it.

    Raises:
        ValueError: If ``capacity`` is less than 1.
    """

    def __init__(
        self,
        network: BlockDrop,
        *,
        capacity: int = 16,
        min_rows: int = 1,
        prepare: Callable[[nn.Module], nn.Module] = nn.Module.eval,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.network = network
        self.capacity = capacity
        self.min_rows = min_rows
        self.prepare = prepare
        self._paths: OrderedDict[bytes, nn.Module] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paths)

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of images (B, 3, S, S) with keep-vectors (B, U), bool, like `BlockDrop.run`."""
        routes = routes.cpu()
        if not len(routes):
            return self.network.run(images, routes)
        policies, choices, counts = torch.unique(routes, dim=0, return_inverse=True, return_counts=True)
        has_path = [
            count >= self.min_rows or _key(policy) in self._paths
            for policy, count in zip(policies, counts.tolist(), strict=True)
        ]
        together = torch.tensor(has_path).logical_not()[choices]
        choices = torch.where(together, len(policies), choices)
        rest = routes[together]
        paths = [self._path(policy) if has else nn.Identity() for policy, has in zip(policies, has_path, strict=True)]
        while len(self._paths) > self.capacity:  # not before: this batch may need what it would push out
            self._paths.popitem(last=False)
        return select_run_scatter(images, choices, [*paths, lambda group: self.network.run(group, rest)])

    def _path(self, policy: Tensor) -> nn.Module:
        key = _key(policy)
        if key not in self._paths:
            self._paths[key] = self.prepare(view_without_droppable(self.network.backbone, policy))
        self._paths.move_to_end(key)
        return self._paths[key]


def list_paths(network: BlockDrop, scores: Tensor) -> FixedRoutes:
    """Returns nested paths of blocks that the policy keeps most readily, the longest with all blocks.

    Args:
        network: The network.
        scores: Shape (N, U): its policy's probabilities on images that nothing is tested on.
    """
    return FixedRoutes(nested_keeps(scores, NUM_PATHS), "apart")


def _key(policy: Tensor) -> bytes:
    return policy.numpy().tobytes()
