"""Training an ordinary network the ordinary way: the baseline of every adaptive one."""

# B batch, K classes

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.data.loading import Batch
from modicum.classify.trunk import backbone_parts, hold_trunk
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule


class PlainStage(LightningModule):
    """An ordinary network, trained at full size with cross-entropy.

    Args:
        network: From images (B, 3, S, S) to logits (B, K).
        optimizer: On everything; the trunk may have its own rate, see `backbone_parts`.
        schedule: Of its learning rate.
    """

    def __init__(self, network: nn.Module, optimizer: OptimizerOptions, schedule: Schedule) -> None:
        super().__init__()
        self.network = network
        self.optimizer_options, self.schedule = optimizer, schedule
        hold_trunk(network, optimizer)
        self.accuracy = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser on all parameters."""
        parts = backbone_parts(self.network, self.optimizer_options)
        return configure_optimizer(self, parts, self.optimizer_options, self.schedule)

    def on_train_start(self) -> None:
        """Holds a frozen trunk still; Lightning keeps modes over a validation."""
        hold_trunk(self.network, self.optimizer_options)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the cross-entropy of one batch."""
        loss = F.cross_entropy(self.network(batch.images), batch.labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy."""
        self.accuracy.update((self.network(batch.images).argmax(dim=1) == batch.labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True)
