"""Registers `ranet`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.classify.ranet.recipe import RANetRecipe
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.classify.fixed_routes import FixedRoutes
    from modicum.classify.ranet.network import RANet
    from modicum.classify.results import Detail
    from modicum.measuring.rows import Row


class RANetSystem(System[RANetRecipe, "RANet"]):
    """Image classifier that starts on coarse maps and lets easy images leave at early exits."""

    id = "ranet"
    wing = "classify"
    summary = "image classifier that starts on coarse maps and lets easy images leave at early exits"
    recipe = RANetRecipe
    default_recipe = "ranet-digits"
    own_data_recipe = "ranet-photos"
    few_data_recipe = "ranet-few-photos"
    examples = (
        "modicum train ranet                              # the embedded digits",
        "modicum train ranet --data photos/ --budget 0.4  # a folder with one sub-folder of images per class",
        "modicum train ranet --resume                     # go on after an interruption",
    )
    options = ("budget", "image_px", "exit_rule", "average_exits", "epochs", *COMMON_OPTIONS)

    def fit(self) -> "Callable[[RANetRecipe, RunFolder], RANet]":
        """Returns the training."""
        from modicum.classify.ranet.fitting import fit

        return fit

    def network(self) -> "Callable[..., RANet]":
        """Returns the builder of the network."""
        from modicum.classify.ranet.network import RANet

        return RANet

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.classify.ranet.export import export_ranet

        return export_ranet

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.classify.ranet.bench import bench

        return bench

    def details(self) -> "Callable[..., tuple[Detail, ...]]":
        """Returns what a report shows of it beside what all show."""
        from modicum.classify.ranet.details import describe

        return describe

    def refit(self, recipe: RANetRecipe) -> "Callable[..., None]":
        """Returns what fits the exit rule anew."""
        from modicum.classify.ranet.refitting import fit_exit_rule

        return fit_exit_rule

    def fixed_routes(self) -> "Callable[..., FixedRoutes | None]":
        """Returns what lists its static rivals."""
        from modicum.classify.fixed_routes import continued_routes

        return continued_routes
