"""Registers `graphs`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import System
from modicum.graphs.recipe import GraphsRecipe
from modicum.storage.runs import RunFolder

if TYPE_CHECKING:
    from modicum.graphs.torch_module import GraphNetwork
    from modicum.measuring.rows import Row


class GraphsSystem(System[GraphsRecipe, "GraphNetwork"]):
    """The smallest graph of neurons that predicts a column or a picture within an error you choose."""

    id = "graphs"
    wing = "graphs"
    summary = "the smallest graph of neurons that predicts a column or a picture within an error you choose"
    recipe = GraphsRecipe
    default_recipe = "graphs-camera"
    own_data_recipe = "graphs-own-data"
    packages = ("skimage", "pandas")
    examples = (
        "modicum train graphs                                               # a photograph, as a function",
        "modicum train graphs --data table.csv --target y --max-error 0.05  # the smallest network for that",
        "modicum train graphs --data photo.png --problem image-function --max-error 0.06",
        "modicum train graphs --resume                                      # go on after an interruption",
    )
    options = (
        "problem",
        "target",
        "max_error",
        "max_complexity",
        "table.ignore",
        "search.seconds",
        "search.restarts",
        "baselines",
    )

    def fit(self) -> "Callable[[GraphsRecipe, RunFolder], GraphNetwork]":
        """Returns the training."""
        from modicum.graphs.training import fit

        return fit

    def network(self) -> "Callable[..., GraphNetwork]":
        """Returns the builder of the network."""
        from modicum.graphs.torch_module import rebuild_graph

        return rebuild_graph

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.graphs.export import export_searched

        return export_searched

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.graphs.bench import bench

        return bench
