"""Training the network end to end, every side output supervised."""

# B batch, S side of the network's input in px
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics import MeanMetric

from modicum.saliency.data.loading import Batch
from modicum.saliency.losses import region_loss, saliency_loss
from modicum.saliency.network import SaliencyNet
from modicum.saliency.recipe import LossOptions
from modicum.saliency.unet import UNet
from modicum.training.optimisers import Parts, configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule


class SaliencyStage(LightningModule):
    """Fits a saliency network; logs ``val/iou``, higher is better, and ``val/mae`` at the network's own size.

    Args:
        network: What is fitted.
        loss: Of each side output.
        optimizer: Of the parts "encoder" and "head".
        schedule: Of both rates.
        batch_px: Each training batch is resized to one of these sides; empty keeps its own.
    """

    def __init__(
        self,
        network: SaliencyNet | UNet,
        loss: LossOptions,
        optimizer: OptimizerOptions,
        schedule: Schedule,
        batch_px: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.is_frozen = optimizer.part_rates.get("encoder", 1.0) == 0
        self._hold_encoder()
        self.loss_options, self.optimizer_options, self.schedule = loss, optimizer, schedule
        self.batch_px = tuple(batch_px)
        self.iou, self.mae = MeanMetric(), MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures an optimiser with one group of parameters for the encoder and one for the rest."""
        return configure_optimizer(self, parts_of(self.network), self.optimizer_options, self.schedule)

    def on_train_start(self) -> None:
        """Holds a frozen encoder still; Lightning keeps modes over a validation."""
        self._hold_encoder()

    def _hold_encoder(self) -> None:
        if self.is_frozen and isinstance(self.network, SaliencyNet):
            self.network.encoder.requires_grad_(False).eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        images, masks = self._resized(batch)
        loss = saliency_loss(
            self.network(images),
            masks,
            region_weight=self.loss_options.region_weight,
            weigh_boundaries=self.loss_options.weigh_boundaries,
        )
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the soft intersection over union and the mean absolute error."""
        logits = self.network(batch.images).finest.float()
        self.iou.update(1 - region_loss(logits, batch.masks))
        self.mae.update((logits.sigmoid() - batch.masks).abs().mean(dim=(1, 2, 3)))
        self.log("val/iou", self.iou, prog_bar=True)
        self.log("val/mae", self.mae)

    def _resized(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if not self.batch_px:
            return batch.images, batch.masks
        side = self.batch_px[int(torch.randint(len(self.batch_px), ()))]  # of the generator that the stage seeds
        images, masks = (
            F.interpolate(each, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
            for each in (batch.images, batch.masks)
        )
        return images, masks.clamp(0, 1)


def parts_of(network: SaliencyNet | UNet) -> Parts:
    """Returns the parameters of the encoder and all others, the head; a U-Net is all head."""
    encoder = list(network.encoder.parameters()) if isinstance(network, SaliencyNet) else []
    of_encoder = {id(parameter) for parameter in encoder}
    head = [parameter for parameter in network.parameters() if id(parameter) not in of_encoder]
    return {"encoder": encoder, "head": head}
