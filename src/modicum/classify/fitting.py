"""Provides what the training of every classifier shares: data, device, baselines, notes of the saved network."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Literal, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from modicum.classify.evaluation import BASELINES_NOTE
from modicum.classify.evidence import Baseline, judge_hits, point_to_json
from modicum.classify.guarantee import halves
from modicum.classify.notes import REFITTED_NOTE, is_refitted
from modicum.classify.plain import PlainStage
from modicum.classify.preparation import Divide, LabelledImages, PreparedData, prepare
from modicum.classify.pretrained import Start, start_note, with_format_of
from modicum.classify.recipe import ClassifierRecipe
from modicum.nn.pretrained import PretrainedWeights
from modicum.storage.calibrations import calibration_note
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import write_sealed
from modicum.training.devices import inference_device
from modicum.training.fitting import Fitting
from modicum.training.recipe import OptimizerOptions, Schedule
from modicum.training.stages import Loaders, Stage

N = TypeVar("N", bound=nn.Module)

log = logging.getLogger(__name__)


class ClassifierFitting:
    """One training of a classifier; a system adds its stages in order.

    Args:
        recipe: What to train on, and where.
        run: The run folder.
        epochs: All stages in their order, with the epochs of each.
        starts: Its backbones and the weights that they start from: these say how images are prepared.
        divide: As of `modicum.classify.preparation.prepare`.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the backbones' weights want different images.
    """

    def __init__(
        self,
        recipe: ClassifierRecipe,
        run: RunFolder,
        epochs: Mapping[str, int],
        *,
        starts: Sequence[Start] = (),
        divide: Divide | None = None,
    ) -> None:
        self.recipe, self.run, self.starts = recipe, run, tuple(starts)
        self.device = inference_device(recipe.trainer.accelerator)
        options = with_format_of(starts, recipe.images, recipe.image_px)
        self.data: PreparedData = prepare(recipe.data, options, recipe.image_px, recipe.seed, run, divide=divide)
        self._fitting = Fitting(run, recipe.trainer, recipe.seed, epochs)
        for start in self.starts:
            if start.weights is not None:
                told = f"{start.weights.source}: {start.head(self.num_classes)}"
                log.info("%s starts from %s", start.backbone, told)
                _tell_size(start.weights, recipe.image_px)

    def plan_stages(self, epochs: Mapping[str, int]) -> None:
        """Plans the stages anew, where they depend on the data: all in their order, with the epochs of each."""
        self._fitting = Fitting(self.run, self.recipe.trainer, self.recipe.seed, epochs)

    @property
    def num_classes(self) -> int:
        """Classes of the data."""
        return len(self.data.source.classes)

    def seeded(self, what: str = "weights") -> AbstractContextManager[None]:
        """Draws random numbers that depend on the recipe's seed and ``what`` alone; see `Fitting.seeded`."""
        return self._fitting.seeded(what)

    def run_stage(
        self,
        name: str,
        module: LightningModule,
        epochs: int,
        loaders: Loaders | None = None,
        monitor: str = "val/accuracy",
        ends_with: Literal["last", "best"] = "last",
        *,
        loss_falls: bool = True,
    ) -> None:
        """Fits one stage, or loads what it left if it has run; its module ends on the device, with the final weights.

        Args:
            name: Unique in the run.
            module: What is fitted.
            epochs: Passes over the training data.
            loaders: Its data; None for all training images, watched on the calibration part.
            monitor: The logged figure by which the best checkpoint is kept; higher is better.
            ends_with: Whether the stage ends with the weights of its last epoch or of its best.
            loss_falls: Whether a loss that rises is worth a warning.
        """
        loaders = loaders or self.data.loaders(name)
        stage = Stage(name, module, loaders, epochs, monitor, self.recipe.ema_decay, ends_with, loss_falls=loss_falls)
        self._fitting.run_stage(stage)
        module.to(self.device)

    def run_plain_stage(
        self, name: str, network: nn.Module, epochs: int, optimizer: OptimizerOptions, schedule: Schedule
    ) -> None:
        """Trains an ordinary network, from images to logits, as one stage; see `run_stage`."""
        self.run_stage(name, PlainStage(network, optimizer, schedule), epochs)

    def calibration_images(self) -> LabelledImages:
        """Returns the images, on `device`, for what a system fits on the calibration part once it is trained.

        All of them, or the half that a guarantee does not rest on, where the run has one (`System.refit`): a training
        that is resumed then ends with the same network.
        """
        indices = self.data.splits.indices(self.data.source, "calibration")
        if is_refitted(self.run):
            fitted, _ = halves(len(indices), self.recipe.seed)
            indices = [indices[row] for row in fitted]
        return self.data.evaluate_indices(indices, self.device)

    @torch.inference_mode()
    def test_point(self, label: str, network: Callable[[Tensor], Tensor], cost: float) -> Baseline:
        """Measures a network without a decision on the test images.

        Args:
            label: Its name in a report.
            network: Maps images to logits, in evaluation mode, on `device`.
            cost: Its multiply-adds per image.
        """
        batches = self.data.evaluate_on("test", self.device)
        first, *others = (judge_hits(network(images), labels) for images, labels in batches)
        return Baseline.of(label, first.join(others), cost)

    @rank_zero_only
    def write_baselines(self, measure: Callable[[], Sequence[Baseline]]) -> None:
        """Keeps, in the run folder, what networks without a decision reached; one process measures."""
        found = measure()
        hits = ["".join("1" if hit else "0" for hit in baseline.hits.tolist()) for baseline in found]
        points = [point_to_json(baseline.point) for baseline in found]
        write_sealed(self.run.baselines, {"points": points, "hits": hits})

    def write_plain_baseline(self, network: nn.Module, cost: float) -> None:
        """Keeps what the plain network, at ``cost`` multiply-adds, reaches on the test images as the one baseline."""
        self.write_baselines(lambda: [self.test_point("plain network", network.eval(), cost)])

    def finish(self, network: N) -> N:
        """Writes the weights of the trained network, with all that prediction needs beside them, and returns it.

        It ends in evaluation mode, on the CPU.
        """
        self._save(network.eval().cpu())
        return network

    @rank_zero_only
    def _save(self, network: nn.Module) -> None:
        notes: dict[str, JSON] = {
            "classes": list(self.data.source.classes),
            "preprocessing": asdict(self.data.preprocessing),
            BASELINES_NOTE: self.run.baselines.exists(),
            **start_note(self.starts, len(self.data.source.classes)),
            **calibration_note(self.run),
            **({REFITTED_NOTE: True} if is_refitted(self.run) else {}),
        }
        self._fitting.save(self.run.weights, network, notes)


def _tell_size(weights: PretrainedWeights, image_px: int) -> None:
    if weights.images is not None and weights.images.size_px != image_px:
        log.info("its weights were trained at %d px; this run uses %d px", weights.images.size_px, image_px)
