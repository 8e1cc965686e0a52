"""Trains the trunk of a cascade at all of its sizes, before its heads are fitted."""

# B batch, K classes
from collections.abc import Sequence

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.cascade.network import WholeTrunk
from modicum.classify.data.loading import Batch
from modicum.nn.resizing import Resize
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule


class SizesStage(LightningModule):
    """Trains a trunk and a head behind all of it, one size per batch, each in turn.

    Batch statistics stay as they are: those of several sizes differ, and one set serves all of them.

    Args:
        network: The trunk with its head.
        sizes_px: The sizes.
        optimizer: On the parts "trunk" and "head".
        schedule: Of its learning rate.
    """

    def __init__(
        self, network: WholeTrunk, sizes_px: Sequence[int], optimizer: OptimizerOptions, schedule: Schedule
    ) -> None:
        super().__init__()
        self.network, self.sizes_px = network, tuple(sizes_px)
        self.optimizer_options, self.schedule = optimizer, schedule
        self.accuracy = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser; the trunk has a rate of its own."""
        parts = {"trunk": self.network.trunk.parameters(), "head": self.network.head.parameters()}
        return configure_optimizer(self, parts, self.optimizer_options, self.schedule)

    def on_train_epoch_start(self) -> None:
        """Holds the batch statistics still; Lightning sets modes anew after a validation."""
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the cross-entropy of one batch at the size whose turn it is."""
        size_px = self.sizes_px[self.global_step % len(self.sizes_px)]
        loss = F.cross_entropy(self.network(Resize(size_px)(batch.images)), batch.labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy at full size."""
        self.accuracy.update((self.network(batch.images).argmax(dim=1) == batch.labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True)
