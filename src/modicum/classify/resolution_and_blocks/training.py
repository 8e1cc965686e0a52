"""Joint training of a backbone and both decisions on it."""

# B batch, R resolutions, U droppable blocks, K classes
from dataclasses import replace

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.backbone_options import with_trunk
from modicum.classify.blockdrop.losses import straight_through_gates
from modicum.classify.data.loading import Batch
from modicum.classify.drnet.losses import straight_through_choice
from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.classify.trunk import backbone_parts, hold_trunk
from modicum.storage.errors import RecipeError
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions


def mean_cost(choice: Tensor, gates: Tensor, floor: Tensor, per_unit: Tensor) -> Tensor:
    """Returns the backbone's mean multiply-adds: each row's resolution h_j times its floor and the blocks it keeps.

    Args:
        choice: h (B, R), one-hot in value.
        gates: g (B, U), 0 or 1 in value.
        floor: Shape (R,).
        per_unit: Shape (R, U).
    """
    # No matrix product: autocast would overflow half precision.
    at_each = floor + (gates[:, None, :] * per_unit).sum(dim=2)  # (B, R)
    return (choice * at_each).sum(dim=1).mean()


class TwoDecisionsStage(LightningModule):
    """Backbone, resolution predictor and block policy together: CE(sum_j h_j F(x_j; g)) + eta max(0, cost / alpha - 1).

    Both choices are sampled and pass their gradients straight through. alpha is what the budget leaves for the backbone
    after both decisions.
    """

    floor: Tensor  # (R,)
    per_unit: Tensor  # (R, U)

    def __init__(self, network: ResolutionAndBlocks, recipe: ResolutionAndBlocksRecipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        network.requires_grad_(True)
        self.options = self._options()
        hold_trunk(network.drnet.backbone, self.options)
        self.target = target_cost(network, recipe.budget)
        per_resolution = network.costs.per_resolution
        self.register_buffer("floor", torch.tensor([costs.floor for costs in per_resolution]), persistent=False)
        self.register_buffer("per_unit", torch.tensor([costs.per_unit for costs in per_resolution]), persistent=False)
        self.accuracy, self.cost, self.kept = MeanMetric(), MeanMetric(), MeanMetric()
        self.shares = nn.ModuleList(MeanMetric() for _ in network.resolutions)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures SGD; both decisions learn at a rate of their own."""
        network = self.network
        deciding = (*network.drnet.predictor.parameters(), *network.policy_network.parameters())
        parts = {**backbone_parts(network.drnet.backbone, self.options), "decisions": deciding}
        return configure_optimizer(self, parts, self.options, self.recipe.joint_schedule)

    def on_train_start(self) -> None:
        """Holds a frozen trunk still; Lightning keeps modes over a validation."""
        hold_trunk(self.network.drnet.backbone, self.options)

    def _options(self) -> OptimizerOptions:
        recipe = self.recipe
        rate, rates = recipe.optimizer.learning_rate * recipe.joint_rate, {"decisions": recipe.decision_rate}
        return with_trunk(replace(recipe.optimizer.general(), learning_rate=rate, part_rates=rates), recipe)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch, with the loss of every resolution on its own as an auxiliary."""
        recipe, network = self.recipe, self.network
        choice = straight_through_choice(network.drnet.scores(batch.images), recipe.temperature)
        gates = straight_through_gates(network.keep_logits(batch.images), recipe.temperature)
        every = network.every_resolution(batch.images, gates)  # (B, R, K)
        loss = F.cross_entropy((choice[:, :, None] * every).sum(dim=1), batch.labels)
        labels = batch.labels.repeat_interleave(every.shape[1])
        auxiliary = F.cross_entropy(every.flatten(0, 1), labels)
        over = F.relu(mean_cost(choice, gates, self.floor, self.per_unit) / self.target - 1)
        total = loss + recipe.auxiliary * auxiliary + recipe.penalty * over
        self.log("train/loss", total, prog_bar=True)
        return total

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs accuracy, mean cost relative to the plain network, share of blocks kept and of each resolution."""
        routed = self.network.predict(batch.images)
        self.accuracy.update((routed.outputs.argmax(dim=1) == batch.labels).float())
        self.cost.update(routed.macs.float() / self.network.costs.plain)
        self.kept.update(routed.routes[:, 1:].float())
        for name, metric in (("accuracy", self.accuracy), ("cost", self.cost), ("kept", self.kept)):
            self.log(f"val/{name}", metric, prog_bar=True)
        for route, (side, share) in enumerate(zip(self.network.resolutions, self.shares, strict=True)):
            assert isinstance(share, MeanMetric)  # a ModuleList does not say what it holds
            share.update((routed.routes[:, 0] == route).float())
            self.log(f"val/share_{side}px", share)


def target_cost(network: ResolutionAndBlocks, budget: float) -> float:
    """Returns alpha: what the budget, a share of the plain network's cost, leaves after both decisions.

    Raises:
        RecipeError: If that is less than the smallest resolution costs without any block.
    """
    costs = network.costs
    target, least = budget * costs.plain - costs.decision, min(each.floor for each in costs.per_resolution)
    if target < least:
        raise RecipeError(
            f"budget {budget} is out of reach: both decisions and the smallest resolution without any block cost "
            f"{(least + costs.decision) / costs.plain:.3f} of the plain network; raise it, or choose a smaller "
            "predictor or policy"
        )
    return target
