"""Registers `qanet`; its parts are imported when they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import System
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.storage.runs import RunFolder
from modicum.training.recipe import DEVICE_OPTIONS

if TYPE_CHECKING:
    from modicum.measuring.rows import Row
    from modicum.reading.qanet.network import QANet


class QANetSystem(System[QANetRecipe, "QANet"]):
    """Answers to questions about a text: the piece of it, its place and how sure that is."""

    id = "qanet"
    wing = "reading"
    summary = "answers to questions about a text: the piece of it, its place and how sure that is"
    recipe = QANetRecipe
    default_recipe = "qanet-lookup"
    own_data_recipe = "qanet-squad-small"
    examples = (
        "modicum train qanet                                    # made-up facts to look up",
        "modicum train qanet --data squad/ --vectors glove.txt  # questions about texts",
        "modicum train qanet --resume                           # go on after an interruption",
    )
    options = ("vectors", "epochs", "text.tokenizer", "text.batch_size", "baselines", *DEVICE_OPTIONS)

    def fit(self) -> "Callable[[QANetRecipe, RunFolder], QANet]":
        """Returns the training."""
        from modicum.reading.qanet.fitting import fit

        return fit

    def network(self) -> "Callable[..., QANet]":
        """Returns the builder of the network."""
        from modicum.reading.qanet.network import rebuild_qanet

        return rebuild_qanet

    def export(self) -> Callable[..., Path]:
        """Returns the export."""
        from modicum.reading.qanet.export import export_qanet

        return export_qanet

    def bench(self) -> "Callable[..., list[Row]]":
        """Returns the benchmark."""
        from modicum.reading.qanet.bench import bench

        return bench
