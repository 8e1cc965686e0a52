"""The training of a restoration network as a Lightning module (Zhang et al., *RNAN*, ICLR 2019, section 4)."""

# B batch, c channels, P side of a patch in px, s scale
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.restore.patches import PatchBatch
from modicum.training.recipe import Schedule
from modicum.training.schedules import configure_adam

PEAK = 255.0
BEST_DB = 100.0  # what a patch without any error counts as, such as one of pure white, which clipping makes exact
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss}


class RestorationStage(LightningModule):
    """Patches in, restored patches out, compared pixel by pixel in units of the full range.

    Args:
        network: From (B, c, P, P) to (B, c, s P, s P), both in 0..255.
        loss: Mean square or mean absolute error.
        learning_rate: Adam's highest.
        schedule: Of the learning rate.
        gradient_clip: Greatest norm of the gradient of a step; None for any.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Literal["mse", "l1"],
        learning_rate: float,
        schedule: Schedule,
        gradient_clip: float | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, LOSSES[loss]
        self.learning_rate, self.schedule, self.gradient_clip = learning_rate, schedule, gradient_clip
        self.psnr = MeanMetric()

    def configure_optimizers(self) -> Any:  # noqa: ANN401  Lightning's signature
        """Adam on everything that learns."""
        groups = [{"params": [weight for weight in self.network.parameters() if weight.requires_grad]}]
        return configure_adam(self, groups, self.learning_rate, self.schedule)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient, if asked to."""
        if self.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)

    def training_step(self, batch: PatchBatch, index: int) -> Tensor:
        """The loss of one batch."""
        loss = self.loss(self.network(batch.inputs) / PEAK, batch.targets / PEAK)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: PatchBatch, index: int) -> None:
        """Mean PSNR of the patches, clipped but not rounded, all channels together: for watching, not for tables."""
        restored = self.network(batch.inputs).float().clamp(0, PEAK)
        errors = (restored - batch.targets).square().flatten(1).mean(dim=1)
        self.psnr.update((10 * torch.log10(PEAK**2 / errors)).clamp(max=BEST_DB))
        self.log("val/psnr", self.psnr, prog_bar=True)
