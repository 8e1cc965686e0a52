"""Registers `drnet`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.classify.backbone_options import START_OPTIONS
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from torch import nn

    from modicum.classify.drnet.exiting import ExitingDRNet
    from modicum.classify.drnet.network import DRNet
    from modicum.classify.fixed_routes import FixedRoutes
    from modicum.classify.results import Detail
    from modicum.measuring.rows import Row


class DRNetSystem(System[DRNetRecipe, "DRNet | ExitingDRNet"]):
    """Image classifier that picks, for each image, the resolution it needs."""

    id = "drnet"
    wing = "classify"
    summary = "image classifier that picks, for each image, the resolution it needs"
    recipe = DRNetRecipe
    default_recipe = "drnet-digits"
    own_data_recipe = "drnet-photos"
    few_data_recipe = "drnet-few-photos"
    examples = (
        "modicum train drnet                              # the embedded digits: minutes on two cores",
        "modicum train drnet --data photos/ --budget 0.5  # a folder with one sub-folder of images per class",
        "modicum train drnet --data photos/ --backbone tf_efficientnet_lite0 --weights lite0",
        "modicum train drnet --decision confidence        # no predictor: larger sizes where it is not sure",
        "modicum train drnet --resume                     # go on after an interruption",
    )
    options = ("budget", "decision", "resolutions", "backbone", *START_OPTIONS, *COMMON_OPTIONS)

    def fit(self) -> "Callable[[DRNetRecipe, RunFolder], DRNet | ExitingDRNet]":
        """Returns the training."""
        from modicum.classify.drnet.fitting import fit

        return fit

    def network(self) -> "Callable[..., DRNet | ExitingDRNet]":
        """Returns the builder of the network, of either kind."""
        from modicum.classify.drnet.network import rebuild_drnet

        return rebuild_drnet

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.classify.drnet.export import export_drnet

        return export_drnet

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.classify.drnet.bench import bench

        return bench

    def details(self) -> "Callable[..., tuple[Detail, ...]]":
        """Returns what a report shows of it beside what all show."""
        from modicum.classify.drnet.details import describe

        return describe

    def refit(self, recipe: DRNetRecipe) -> "Callable[..., None] | None":
        """Returns what chooses steps and thresholds anew; a predictor is not fitted on the calibration part."""
        if recipe.decision == "predictor":
            return None
        from modicum.classify.drnet.refitting import fit_steps

        return fit_steps

    def fixed_routes(self) -> "Callable[..., FixedRoutes | None]":
        """Returns what lists its static rivals."""
        from modicum.classify.drnet.exiting import list_resolutions

        return list_resolutions

    def alone(self) -> "Callable[..., nn.Module | None]":
        """Returns what builds a resolution by itself."""
        from modicum.classify.drnet.exiting import build_alone

        return build_alone
