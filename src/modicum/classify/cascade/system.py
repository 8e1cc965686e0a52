"""Registers `cascade`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from torch import nn

    from modicum.classify.exiting import ExitingClassifier
    from modicum.classify.results import Detail
    from modicum.measuring.rows import Row


class CascadeSystem(System[CascadeRecipe, "ExitingClassifier"]):
    """Image classifier that starts small on a pretrained network and goes on only where it is not sure."""

    id = "cascade"
    wing = "classify"
    summary = "image classifier that starts small on a pretrained network and goes on only where it is not sure"
    recipe = CascadeRecipe
    default_recipe = "cascade-photographs"
    own_data_recipe = "cascade-photos"
    examples = (
        "modicum train cascade                              # the embedded photographs",
        "modicum train cascade --data photos/ --budget 0.3  # a folder with one sub-folder of images per class",
        "modicum train cascade --data photos/ --members runs/a runs/b  # networks that you have; trains nothing",
        "modicum train cascade --resume                     # go on after an interruption",
    )
    options = ("budget", "members", "image_px", "backbone", "weights", "sizes", *COMMON_OPTIONS)

    def fit(self) -> "Callable[[CascadeRecipe, RunFolder], ExitingClassifier]":
        """Returns the training."""
        from modicum.classify.cascade.fitting import fit

        return fit

    def network(self) -> "Callable[..., ExitingClassifier]":
        """Returns the builder of the network, of either kind."""
        from modicum.classify.cascade.members import rebuild_cascade

        return rebuild_cascade

    def first_terms(self, recipe: CascadeRecipe) -> tuple[float, float] | None:
        """Returns the loss and the certainty that the recipe asks for; None where it asks for a budget."""
        return None if recipe.max_loss is None else (recipe.max_loss, recipe.certainty)

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.classify.cascade.export import export_cascade

        return export_cascade

    def prepared(self) -> "Callable[[ExitingClassifier], ExitingClassifier]":
        """Returns the folding of the normalisation."""
        from modicum.classify.cascade.folding import fold_cascade

        return fold_cascade

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.classify.cascade.bench import bench

        return bench

    def details(self) -> "Callable[..., tuple[Detail, ...]]":
        """Returns what a report shows of it beside what all show."""
        from modicum.classify.cascade.details import describe

        return describe

    def alone(self) -> "Callable[[ExitingClassifier, str], nn.Module | None]":
        """Returns what builds a size and exit, or a member, by itself."""
        from modicum.classify.cascade.members import build_alone

        return build_alone
