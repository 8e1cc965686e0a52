"""Registers `rnan`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import System
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.runs import RunFolder
from modicum.training.recipe import DEVICE_OPTIONS

if TYPE_CHECKING:
    from modicum.measuring.rows import Row
    from modicum.restore.rnan.network import RNAN


class RNANSystem(System[RNANRecipe, "RNAN"]):
    """Clean photographs from noisy, compressed, mosaiced or small ones."""

    id = "rnan"
    wing = "restore"
    summary = "clean photographs from noisy, compressed, mosaiced or small ones"
    recipe = RNANRecipe
    default_recipe = "rnan-photographs"
    own_data_recipe = "rnan-own-photographs"
    packages = ("skimage",)
    examples = (
        "modicum train rnan                  # noise, on the photographs that the packages bring",
        "modicum train rnan --data photos/ --task.name jpeg --task.level 10  # clean photographs of any kind",
        "modicum train rnan --weights model.pt --epochs 0                    # published weights as they are",
        "modicum train rnan --resume         # go on after an interruption",
    )
    options = ("task.name", "task.level", "task.colour", "weights", "epochs", "patches.batch_size", *DEVICE_OPTIONS)

    def fit(self) -> "Callable[[RNANRecipe, RunFolder], RNAN]":
        """Returns the training."""
        from modicum.restore.rnan.fitting import fit

        return fit

    def network(self) -> "Callable[..., RNAN]":
        """Returns the builder of the network."""
        from modicum.restore.rnan.network import RNAN

        return RNAN

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.restore.rnan.export import export_rnan

        return export_rnan

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.restore.rnan.bench import bench

        return bench
