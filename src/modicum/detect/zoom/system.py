"""Registers `zoom`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import System
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.storage.runs import RunFolder
from modicum.training.recipe import DEVICE_OPTIONS

if TYPE_CHECKING:
    from modicum.detect.zoom.network import ZoomNetwork
    from modicum.detect.zoom.untrained import UntrainedZoom
    from modicum.measuring.rows import Row


class ZoomSystem(System[ZoomRecipe, "ZoomNetwork"]):
    """Objects in large pictures, found by looking closely only where that pays."""

    id = "zoom"
    wing = "detect"
    summary = "objects in large pictures, found by looking closely only where that pays"
    recipe = ZoomRecipe
    default_recipe = "zoom-marks"
    own_data_recipe = "zoom-pictures"
    packages = ("faster_coco_eval",)
    examples = (
        "modicum train zoom                                                   # drawn marks",
        "modicum train zoom --data aerial_cars/                               # pictures with boxes, in any usual form",
        "modicum train zoom --data aerial_cars/ --detector mine.safetensors   # R-net for your own detector",
        "modicum train zoom --resume                                          # go on after an interruption",
    )
    options = (
        "detector",
        "scale",
        "budget",
        "folds",
        "detectors.steps",
        "detectors.trunk",
        "detectors.weights",
        "rnet.form",
        "policy.form",
        *DEVICE_OPTIONS,
    )

    def fit(self) -> "Callable[[ZoomRecipe, RunFolder], ZoomNetwork]":
        """Returns the training."""
        from modicum.detect.zoom.fitting import fit

        return fit

    def network(self) -> "Callable[..., ZoomNetwork]":
        """Returns the builder of the network."""
        from modicum.detect.zoom.network import ZoomNetwork

        return ZoomNetwork

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.detect.zoom.export import export_run

        return export_run

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.detect.bench import bench

        return bench

    def untrained(self) -> "UntrainedZoom":
        """Returns what detects with a user's own detector, without training."""
        from modicum.detect.zoom.untrained import UntrainedZoom

        return UntrainedZoom()
