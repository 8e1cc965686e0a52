"""Registers `static`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.classify.recipe import COMMON_OPTIONS
from modicum.classify.static.recipe import StaticRecipe
from modicum.contract import System
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.classify.fixed_routes import FixedRoutes
    from modicum.classify.static.network import StaticFamily
    from modicum.measuring.rows import Row


class StaticSystem(System[StaticRecipe, "StaticFamily"]):
    """Plain networks of several sizes: the static frontier that adaptive networks have to beat."""

    id = "static"
    wing = "classify"
    summary = "plain networks of several sizes: the static frontier that adaptive networks have to beat"
    recipe = StaticRecipe
    default_recipe = "static-digits"
    own_data_recipe = "static-photos"
    few_data_recipe = "static-few-photos"
    is_static = True
    examples = (
        "modicum train static                 # the embedded digits",
        "modicum train static --data photos/  # a folder with one sub-folder of images per class",
        "modicum train static --resume        # go on after an interruption",
    )
    options = ("members", "image_px", "weights", "trunk", "epochs", *COMMON_OPTIONS)

    def fit(self) -> "Callable[[StaticRecipe, RunFolder], StaticFamily]":
        """Returns the training."""
        from modicum.classify.static.fitting import fit

        return fit

    def network(self) -> "Callable[..., StaticFamily]":
        """Returns the builder of the network."""
        from modicum.classify.static.network import rebuild_static

        return rebuild_static

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.classify.static.export import export_static

        return export_static

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.classify.static.bench import bench

        return bench

    def fixed_routes(self) -> "Callable[..., FixedRoutes | None]":
        """Returns what lists its static rivals."""
        from modicum.classify.fixed_routes import separate_routes

        return separate_routes
