"""Registers `saliency`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import System
from modicum.saliency.recipe import SaliencyRecipe
from modicum.storage.runs import RunFolder
from modicum.training.recipe import DEVICE_OPTIONS

if TYPE_CHECKING:
    from modicum.measuring.rows import Row
    from modicum.saliency.network import SaliencyNet


class SaliencySystem(System[SaliencyRecipe, "SaliencyNet"]):
    """Maps, masks and cut-outs of what stands out in a photograph."""

    id = "saliency"
    wing = "saliency"
    summary = "maps, masks and cut-outs of what stands out in a photograph"
    recipe = SaliencyRecipe
    default_recipe = "saliency-scenes"
    own_data_recipe = "saliency-photos"
    packages = ("py_sod_metrics", "skimage", "imagehash")
    examples = (
        "modicum train saliency                                           # made-up scenes",
        "modicum train saliency --data ECSSD/ --weights published   # images with masks",
        "modicum train saliency --data DUTS/ --recipe saliency-f3net --weights resnet50.safetensors",
        "modicum train saliency --resume                                  # go on after an interruption",
    )
    options = (
        "image_px",
        "epochs",
        "network.encoder",
        "weights",
        "trunk",
        "images.batch_size",
        *DEVICE_OPTIONS,
    )

    def fit(self) -> "Callable[[SaliencyRecipe, RunFolder], SaliencyNet]":
        """Returns the training."""
        from modicum.saliency.fitting import fit

        return fit

    def network(self) -> "Callable[..., SaliencyNet]":
        """Returns the builder of the network."""
        from modicum.saliency.network import SaliencyNet

        return SaliencyNet

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.saliency.export import export_saliency

        return export_saliency

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.saliency.bench import bench

        return bench
