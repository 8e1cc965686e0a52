"""The training of a restoration network as a Lightning module (Zhang et al., *RNAN*, ICLR 2019, section 4)."""

# B batch, c channels, P side of a patch in px, s scale
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.restore.patches import PatchBatch
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule

PEAK = 255.0
BEST_DB = 100.0  # what a patch without any error counts as, such as one of pure white, which clipping makes exact
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss}


class RestorationStage(LightningModule):
    """Patches in, restored patches out, compared pixel by pixel in units of the full range.

    Args:
        network: From (B, c, P, P) to (B, c, s P, s P), both in 0..255.
        loss: Mean square or mean absolute error.
        optimizer: On everything that learns.
        schedule: Of the learning rate.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Literal["mse", "l1"],
        optimizer: OptimizerOptions,
        schedule: Schedule,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, LOSSES[loss]
        self.optimizer_options, self.schedule = optimizer, schedule
        self.psnr = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser for all trainable weights."""
        parts = {"network": [weight for weight in self.network.parameters() if weight.requires_grad]}
        return configure_optimizer(self, parts, self.optimizer_options, self.schedule)

    def training_step(self, batch: PatchBatch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        loss = self.loss(self.network(batch.inputs) / PEAK, batch.targets / PEAK)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: PatchBatch, index: int) -> None:
        """Logs mean PSNR of the patches, clipped but not rounded, over all channels: to monitor, not for tables."""
        restored = self.network(batch.inputs).float().clamp(0, PEAK)
        errors = (restored - batch.targets).square().flatten(1).mean(dim=1)
        self.psnr.update((10 * torch.log10(PEAK**2 / errors)).clamp(max=BEST_DB))
        self.log("val/psnr", self.psnr, prog_bar=True)
