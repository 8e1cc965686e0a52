"""Registers `blockdrop`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.classify.backbone_options import START_OPTIONS
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.classify.blockdrop.network import BlockDrop
    from modicum.classify.fixed_routes import FixedRoutes
    from modicum.classify.results import Detail
    from modicum.measuring.rows import Row


class BlockDropSystem(System[BlockDropRecipe, "BlockDrop"]):
    """Residual classifier that runs, for each image, the blocks that it needs."""

    id = "blockdrop"
    wing = "classify"
    summary = "residual classifier that runs, for each image, the blocks that it needs"
    recipe = BlockDropRecipe
    default_recipe = "blockdrop-digits"
    own_data_recipe = "blockdrop-photos"
    few_data_recipe = "blockdrop-few-photos"
    examples = (
        "modicum train blockdrop                              # the embedded digits",
        "modicum train blockdrop --data photos/ --budget 0.6  # a folder with a sub-folder per class",
        "modicum train blockdrop --data photos/ --backbone resnet18 --weights resnet18.pth",
        "modicum train blockdrop --resume                     # go on after an interruption",
    )
    options = ("budget", "image_px", "backbone", *START_OPTIONS, *COMMON_OPTIONS)

    def fit(self) -> "Callable[[BlockDropRecipe, RunFolder], BlockDrop]":
        """Returns the training."""
        from modicum.classify.blockdrop.fitting import fit

        return fit

    def network(self) -> "Callable[..., BlockDrop]":
        """Returns the builder of the network."""
        from modicum.classify.blockdrop.network import rebuild_blockdrop

        return rebuild_blockdrop

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.classify.blockdrop.export import export_blockdrop

        return export_blockdrop

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.classify.blockdrop.bench import bench

        return bench

    def details(self) -> "Callable[..., tuple[Detail, ...]]":
        """Returns what a report shows of it beside what all show."""
        from modicum.classify.blockdrop.details import describe

        return describe

    def num_choices(self, recipe: BlockDropRecipe) -> int:
        """Counts the networks that training chooses from: of each stage that learns from rewards, the best epoch."""
        return max(1, recipe.policy_epochs) * max(1, recipe.joint_epochs) if recipe.method == "reinforce" else 1

    def fixed_routes(self) -> "Callable[..., FixedRoutes]":
        """Returns what lists its static rivals."""
        from modicum.classify.blockdrop.paths import list_paths

        return list_paths
