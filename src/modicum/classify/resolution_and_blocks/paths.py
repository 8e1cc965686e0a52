"""Fixed routes of a network that decides on resolution and blocks: its static rivals."""

# N images, R resolutions, U blocks, C fixed routes
import torch
from torch import Tensor

from modicum.classify.fixed_routes import FixedRoutes, nested_keeps
from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks
from modicum.classify.resolution_and_blocks.pricing import join_routes

NUM_PATHS = 2  # at each resolution: about half of the blocks, and all


def list_paths(network: ResolutionAndBlocks, scores: Tensor) -> FixedRoutes:
    """Returns, at every resolution, all blocks and about half of them, those that the policy keeps most readily.

    Args:
        network: The network.
        scores: Shape (N, R + U), on images that nothing is tested on.
    """
    num_resolutions = len(network.resolutions)
    keeps = nested_keeps(scores[:, num_resolutions:], NUM_PATHS)
    routes = torch.cat(
        [join_routes(torch.full((len(keeps),), resolution), keeps) for resolution in range(num_resolutions)]
    )
    return FixedRoutes(routes[network.costs.of(routes).argsort(stable=True)], "apart")
