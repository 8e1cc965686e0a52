"""Paths through a residual network that each are a part of the one before, as shallower networks of its family are."""

# U droppable blocks, D depths
import torch
from torch import Tensor

from modicum.classify.blockdrop.network import BlockDrop
from modicum.storage.errors import RecipeError


def nested_paths(network: BlockDrop, least: float, depths: int | None = None) -> Tensor:
    """Keep-vectors (D, U), bool, from all blocks to the fewest; each row keeps a part of what the one before does.

    Drops the last block of each stage in turn, then the last but one, and so on; never the first of a stage.

    A stage begins with a block whose shortcut changes the shape. So three stages of nine blocks become three of eight,
    of seven, and so on: ResNet-56 becomes ResNet-50, -44, ...

    Args:
        network: Whose blocks are meant.
        least: Share of the blocks that the shortest path keeps, in (0, 1]; rounded, and at least the first of each
            stage.
        depths: How many rows, at least 2, as evenly spaced as can be; None for one for each block that is dropped.

    Raises:
        RecipeError: If that leaves nothing to drop.
    """
    stages: list[list[int]] = []
    for block in network.blocks:
        if not stages or not block.is_identity:
            stages.append([])
        stages[-1].append(block.index)
    num_blocks = len(network.blocks)
    ends = [stage[place] for place in range(num_blocks - 1, 0, -1) for stage in stages if place < len(stage)]
    order = ends[: num_blocks - round(least * num_blocks)]
    if not order:
        raise RecipeError(
            f"doubt.least {least:g} of {num_blocks} blocks in {len(stages)} stages leaves none: the first of "
            "each stays; lower it, or choose a deeper backbone"
        )
    keep = torch.ones(len(order) + 1, num_blocks, dtype=torch.bool)
    for dropped, block_index in enumerate(order, start=1):
        keep[dropped:, block_index] = False
    if depths is None or depths > len(keep):
        return keep
    return keep[torch.linspace(0, len(order), depths).round().long()]


def path_of_cost(network: BlockDrop, paths: Tensor, cost: float) -> Tensor:
    """The keep-vector (U,) of paths (D, U) whose multiply-adds, without those of a policy, are nearest to ``cost``."""
    costs = network.costs.of(paths) - network.costs.decision
    return paths[(costs - cost).abs().argmin()]


def draw_depths(num_images: int, num_depths: int) -> Tensor:
    """Rows of `nested_paths` for a training, (num_images,): a third all blocks, a third the fewest, a third any."""
    anywhere = torch.randint(num_depths, (num_images,))
    kind = torch.randint(3, (num_images,))
    return torch.where(kind == 0, 0, torch.where(kind == 1, num_depths - 1, anywhere))
