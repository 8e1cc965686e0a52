"""Trains light detectors on random crops at a scale, one stage of a run for each."""

# B batch, S side of a crop in px
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from modicum.datasets.loaders import EpochSamples, derive_seed, epoch_loader, ordered_loader
from modicum.detect.data.crops import Crop, CropBatch, CropMaker, CropOptions, collate
from modicum.detect.data.sources import DetectionSource
from modicum.detect.detectors.network import LightFCOS, LiteTrunk
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.nn.pretrained import PretrainedWeights, fill_network, read_pretrained
from modicum.training.fitting import Fitting
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule
from modicum.training.stages import Loaders, Stage

_VALIDATION_CROPS = 64


@dataclass(frozen=True)
class DetectorData:
    """What a detector is trained and watched on.

    Attributes:
        source: The pictures.
        train: Indices of its records that are learnt.
        watch: Indices of records that the training is watched on.
    """

    source: DetectionSource
    train: Sequence[int]
    watch: Sequence[int]


class DetectorStage(LightningModule):
    """Fits a light detector; logs ``val/minus_loss``, higher is better, on crops that stay the same.

    Args:
        network: What is fitted.
        optimizer: Of the parts "trunk" and "head".
        schedule: Of both rates.
    """

    def __init__(self, network: LightFCOS, optimizer: OptimizerOptions, schedule: Schedule) -> None:
        super().__init__()
        self.network, self.optimizer_options, self.schedule = network, optimizer, schedule
        self.minus_loss = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser."""
        return configure_optimizer(self, self.parts(), self.optimizer_options, self.schedule)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters of the trunk that has weights to start from, and all others."""
        backbone = self.network.fcos.backbone
        trunk = list(backbone.network.parameters()) if isinstance(backbone, LiteTrunk) else []
        of_trunk = {id(weight) for weight in trunk}
        head = [weight for weight in self.network.parameters() if id(weight) not in of_trunk]
        return {"trunk": trunk, "head": head}

    def training_step(self, batch: CropBatch, index: int) -> Tensor:
        """Returns the sum of the three losses of a batch."""
        losses = self.network.losses(*batch)
        loss = torch.stack(list(losses.values())).sum()
        self.log("train/loss", loss, prog_bar=True)
        for name, part in losses.items():
            self.log(f"train/{name}", part)
        return loss

    def validation_step(self, batch: CropBatch, index: int) -> None:
        """Logs the negative loss."""
        self.minus_loss.update(-torch.stack(list(self.network.losses(*batch).values())).sum())
        self.log("val/minus_loss", self.minus_loss, prog_bar=True)


def read_trunk(options: DetectorOptions) -> PretrainedWeights | None:
    """Reads the weights that the trunks start from; refuses, before other work, what cannot be had.

    Raises:
        WeightsError: If the file cannot be read or does not fit.
        MissingExtraError: If the package that holds them is not installed.
    """
    return None if options.weights is None else read_pretrained(options.weights, options.trunk, library="timm")


def build_detector(classes: Sequence[str], options: DetectorOptions, trunk: PretrainedWeights | None) -> LightFCOS:
    """Builds a detector, its trunk with these weights where there are some.

    Raises:
        WeightsError: If the weights do not fit.
    """
    network = LightFCOS(classes, trunk=options.trunk)
    if trunk is not None and isinstance(network.fcos.backbone, LiteTrunk):
        own = network.fcos.backbone.network
        known = set(own.state_dict())  # what follows stride 16 is not there
        fitting = {name: value for name, value in trunk.state.items() if name in known}
        fill_network(own, replace(trunk, state=fitting))
    return network


def planned_epochs(names: Sequence[str], options: DetectorOptions) -> dict[str, int]:
    """Returns the epochs of each stage that trains a detector."""
    return dict.fromkeys(names, options.epochs)


def train_detector(
    fitting: Fitting,
    name: str,
    data: DetectorData,
    options: DetectorOptions,
    *,
    scales: tuple[float, float],
    trunk: PretrainedWeights | None = None,
) -> LightFCOS:
    """Trains a detector as a stage of a run, which resumes after a kill to the same weights.

    Args:
        fitting: The training of the run, which knows the stage by this name.
        name: Name of the stage.
        data: Pictures to learn and to watch.
        options: How it is trained.
        scales: Least and largest scale of the pictures; equal ones for a detector of one role, those of both passes for
            one with two. The jitter comes on top.
        trunk: What `read_trunk` returned.

    Returns:
        The detector, in evaluation mode, on the CPU.

    Raises:
        DataError: If there are no pictures, or one has become unreadable.
    """
    with fitting.seeded(name):
        network = build_detector(data.source.classes, options, trunk)
    module = DetectorStage(network, options.optimizer(), Schedule("one_cycle"))
    loaders = _loaders(data, options, scales, derive_seed(fitting.seed, name) % 2**31)
    fitting.run_stage(Stage(name, module, loaders, options.epochs, "val/minus_loss"))
    return network.eval()


def _loaders(data: DetectorData, options: DetectorOptions, scales: tuple[float, float], seed: int) -> Loaders:
    drawn = CropOptions(
        options.crop_px,
        scales,
        options.scale_jitter,
        flip=options.flip,
        brightness=options.brightness,
        on_objects=options.on_objects,
    )
    makers = {part: CropMaker(data.source, part, drawn) for part in (tuple(data.train), tuple(data.watch))}
    crops = EpochSamples(range(options.steps_per_epoch * options.batch_size), makers[tuple(data.train)], seed)
    watched = EpochSamples(range(_VALIDATION_CROPS), makers[tuple(data.watch)], seed + 1)

    def train_batches(epoch: int, rank: int, world_size: int) -> DataLoader[Crop]:
        return epoch_loader(
            crops,
            collate,
            batch_size=options.batch_size,
            num_workers=options.num_workers,
            epoch=epoch,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )

    def validation_batches() -> DataLoader[Any]:
        return ordered_loader(watched, collate, batch_size=options.batch_size, num_workers=options.num_workers)

    return Loaders(train_batches, validation_batches)
