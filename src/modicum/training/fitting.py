"""One training in a run folder: what those of all wings share."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from modicum.datasets.loaders import derive_seed, seeded
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network
from modicum.training.progress import StagePlan
from modicum.training.recipe import TrainerOptions
from modicum.training.stages import Stage, fit_stage


class Fitting:
    """One training in a run folder, stage by stage. Several processes may each have one.

    Args:
        run: The run folder.
        trainer: Where and how it runs.
        seed: Of everything random.
        epochs: All stages in their order, with the epochs of each.
    """

    def __init__(self, run: RunFolder, trainer: TrainerOptions, seed: int, epochs: Mapping[str, int]) -> None:
        self.run, self.trainer, self.seed, self.plan = run, trainer, seed, StagePlan(epochs)
        self._finished = run.finished_stages() if run.state.exists() else []

    def seeded(self, what: str = "weights") -> AbstractContextManager[None]:
        """Draws random numbers that depend on the seed and ``what`` alone, and disturb no others."""
        return seeded(derive_seed(self.seed, what))

    def run_stage(self, stage: Stage) -> None:
        """Fits a stage, or loads its result if it is finished; its module ends with the final weights, on the CPU."""
        finished = stage.name in self._finished
        fit_stage(stage, self.run, self.trainer, self.seed, finished=finished, plan=self.plan)
        stage.module.cpu()
        self._mark_finished(stage.name)

    @rank_zero_only
    def _mark_finished(self, stage: str) -> None:
        if stage not in self._finished:
            self.run.mark_finished(stage)

    @rank_zero_only
    def save(self, path: Path, network: nn.Module, notes: Mapping[str, JSON] | None = None) -> None:
        """Writes the weights of a trained network with notes on its training, the digest of its recipe among them."""
        save_network(path, network, notes={**(notes or {}), **self.run.recipe_note()})
