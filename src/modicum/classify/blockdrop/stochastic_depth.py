"""Training a backbone that can do without some of its blocks, for a policy to choose from."""

# B batch, U droppable blocks

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.backbone_options import with_trunk
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.normalisation import statistics_of_kept_rows
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.data.loading import Batch
from modicum.classify.distillation import AnswerLoss
from modicum.classify.trunk import backbone_parts, hold_trunk
from modicum.training.optimisers import configure_optimizer


class BaseStage(LightningModule):
    """Before stage 1, where blocks are to be dropped already: the backbone learns to do without some of them.

    Each image draws how many it does without, from none to the share ``base_drop``, and then which: stochastic depth
    (Huang et al., *Deep Networks with Stochastic Depth*, 2016) at all depths at once. Not in the paper, whose backbones
    are deep enough to bear dropping untrained.

    Args:
        network: Its backbone is trained.
        recipe: With ``base_drop`` above 0.
        teacher: The network to learn from, where the recipe has a distillation.
    """

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        self.network, self.recipe = network, recipe
        network.train().policy_network.requires_grad_(False)  # which waits for stage 1
        self.options = with_trunk(recipe.optimizer.general(), recipe)
        hold_trunk(network.backbone, self.options)
        self.accuracy = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures SGD on the backbone."""
        parts = backbone_parts(self.network.backbone, self.options)
        return configure_optimizer(self, parts, self.options, self.recipe.schedule)

    def on_train_start(self) -> None:
        """Holds a frozen trunk still; Lightning keeps modes over a validation."""
        hold_trunk(self.network.backbone, self.options)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch on random paths."""
        keep = random_depths(len(batch.images), len(self.network.costs.per_unit), self.recipe.base_drop)
        with statistics_of_kept_rows(self.network.backbone):
            logits = self.network.run(batch.images, keep)
        loss: Tensor = self.answer_loss(logits, batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy with all blocks."""
        self.accuracy.update((self.network.backbone(batch.images).argmax(dim=1) == batch.labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True)


def random_depths(num_images: int, num_blocks: int, most: float) -> Tensor:
    """Keep-vectors (num_images, num_blocks), bool, on the CPU; each drops its own share, between 0 and ``most``."""
    dropped = most * torch.rand(num_images, 1)
    return torch.rand(num_images, num_blocks) >= dropped
