"""Registers `cascade`; its parts are imported when they are asked for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.recipe import COMMON_OPTIONS
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.classify.exiting import ExitingClassifier
    from modicum.classify.results import Detail


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

    def details(self) -> "Callable[..., tuple[Detail, ...]]":
        """Returns what a report shows of it beside what all show."""
        from modicum.classify.cascade.details import describe

        return describe
