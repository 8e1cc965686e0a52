"""Registers `resolution-and-blocks`; its parts are imported when they are asked for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modicum.classify.backbone_options import START_OPTIONS
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.classify.fixed_routes import FixedRoutes
    from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks


class ResolutionAndBlocksSystem(System[ResolutionAndBlocksRecipe, "ResolutionAndBlocks"]):
    """DRNet over a BlockDrop backbone: picks, for each image, its resolution and the blocks it needs."""

    id = "resolution-and-blocks"
    wing = "classify"
    summary = "DRNet over a BlockDrop backbone: picks, for each image, its resolution and the blocks it needs"
    recipe = ResolutionAndBlocksRecipe
    default_recipe = "resolution-and-blocks-digits"
    own_data_recipe = "resolution-and-blocks-photos"
    few_data_recipe = "resolution-and-blocks-few-photos"
    examples = (
        "modicum train resolution-and-blocks                 # the embedded digits",
        "modicum train resolution-and-blocks --data photos/  # a folder with a sub-folder of images per class",
        "modicum train resolution-and-blocks --resume        # go on after an interruption",
    )
    options = ("budget", "resolutions", "backbone", *START_OPTIONS, *COMMON_OPTIONS)

    def fit(self) -> "Callable[[ResolutionAndBlocksRecipe, RunFolder], ResolutionAndBlocks]":
        """Returns the training."""
        from modicum.classify.resolution_and_blocks.fitting import fit

        return fit

    def network(self) -> "Callable[..., ResolutionAndBlocks]":
        """Returns the builder of the network."""
        from modicum.classify.resolution_and_blocks.network import rebuild_resolution_and_blocks

        return rebuild_resolution_and_blocks

    def fixed_routes(self) -> "Callable[..., FixedRoutes]":
        """Returns what lists its static rivals."""
        from modicum.classify.resolution_and_blocks.paths import list_paths

        return list_paths
