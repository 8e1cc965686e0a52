"""The stages of BlockDrop's training as Lightning modules (Wu et al., *BlockDrop*, 2018, section 3)."""

# B batch, U droppable blocks, K classes
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.backbone_options import with_frozen_trunk
from modicum.classify.blockdrop.losses import (
    bounded,
    entropies,
    excess_cost,
    free_blocks,
    log_probabilities,
    policy_losses,
    rewards,
    straight_through_gates,
    usage_shares,
)
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.normalisation import hold_statistics, statistics_of_kept_rows
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.data.loading import Batch
from modicum.classify.distillation import AnswerLoss
from modicum.classify.trunk import backbone_parts, hold_trunk
from modicum.storage.errors import RecipeError
from modicum.training.optimisers import Parts, configure_optimizer
from modicum.training.recipe import OptimizerOptions


class Draw(NamedTuple):
    """The decisions that a step compares."""

    sampled: Tensor  # (B, U) bool
    greedy: Tensor  # (B, U) bool
    log_p: Tensor  # (B,): of the sampled ones, with a gradient


def draw(probabilities: Tensor, free: Tensor, alpha: float) -> Draw:
    """Samples from the bounded probabilities and, as the baseline, decides by the plain ones; blocks not free are kept.

    Args:
        probabilities: s (B, U), in [0, 1].
        free: Shape (U,), bool.
        alpha: See `bounded`.
    """
    p = bounded(probabilities, alpha)
    sampled = (torch.rand_like(p) < p) | ~free  # torch.bernoulli would raise where the policy has diverged
    return Draw(sampled, (probabilities.detach() >= 0.5) | ~free, log_probabilities(sampled, p, free))


class PolicyStage(LightningModule):
    """Stage 1: the policy learns from rewards which blocks to drop; the backbone is evaluated and never changed.

    From the last block to the first, one more becomes free every ``epochs_per_block`` epochs.
    """

    shares: Tensor

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        train_parts(network, backbone=False)
        self.register_buffer("shares", usage_shares(network.costs.per_unit, recipe.reward_usage), persistent=False)
        self.figures = RoutedFigures(recipe.gamma)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures Adam on the policy."""
        parts = {"policy": self.network.policy_network.parameters()}
        return configure_optimizer(self, parts, adam(self.recipe.policy_rate), self.recipe.policy_schedule)

    def on_train_start(self) -> None:
        """Holds the backbone still; Lightning keeps modes over a validation."""
        self.network.backbone.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns mean_batch (-A log p(u) - beta H) of one batch; as published, H counts all blocks, free or not."""
        recipe, network = self.recipe, self.network
        probabilities = network.scores(batch.images)  # (B, U)
        free = free_blocks(probabilities.shape[1], self.current_epoch, recipe.epochs_per_block)
        drawn = draw(probabilities, free.to(probabilities.device), recipe.alpha)
        keep = torch.cat([drawn.sampled, drawn.greedy])
        with torch.no_grad():  # one pass for both: they share the stem, and each block its one call
            logits = network.run(batch.images, keep, copies=2)
        is_right = logits.argmax(dim=1) == batch.labels.repeat(2)
        sampled, greedy = rewards(is_right, keep, self.shares, gamma=recipe.gamma).chunk(2)
        losses = policy_losses(sampled - greedy, drawn.log_p)
        bonus = entropies(bounded(probabilities, recipe.alpha), recipe.entropy)
        loss = (losses - recipe.entropy_weight * bonus).mean()
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/reward", greedy.mean())
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs what the network would do with all blocks free; see `RoutedFigures`."""
        self.figures.log(self, batch)


class JointStage(LightningModule):
    """Stage 2: policy and backbone together, rewards for one and cross-entropy of the sampled paths for the other.

    The two losses touch different weights, so with Adam their weights do not matter.

    Args:
        network: The network to train.
        recipe: With method "reinforce".
        teacher: The network to learn from, where the recipe has a distillation.
    """

    shares: Tensor

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        train_parts(network, backbone=True)
        self.options = with_frozen_trunk(adam(recipe.joint_rate), recipe)
        hold_trunk(network.backbone, self.options)
        self.register_buffer("shares", usage_shares(network.costs.per_unit, recipe.reward_usage), persistent=False)
        self.figures = RoutedFigures(recipe.joint_gamma)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures Adam on both parts."""
        parts = both_parts(self.network, self.options)
        return configure_optimizer(self, parts, self.options, self.recipe.joint_schedule)

    def on_train_start(self) -> None:
        """Holds still what the recipe says: statistics, the trunk; Lightning keeps modes over a validation."""
        hold_trunk(self.network.backbone, self.options)
        if self.recipe.norm == "frozen":
            hold_statistics(self.network.backbone)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns mean_batch -A log p(u) + CE(F(x, u)) of one batch."""
        recipe, network = self.recipe, self.network
        probabilities = network.scores(batch.images)
        drawn = draw(probabilities, torch.ones_like(probabilities[0], dtype=torch.bool), recipe.joint_alpha)
        with statistics_of_kept_rows(network.backbone):
            logits = network.run(batch.images, drawn.sampled)
        # By itself, not merged with the sampled pass: it needs neither gradient nor a say in the running statistics.
        with torch.no_grad(), statistics_of_kept_rows(network.backbone, update=False):
            compared = network.run(batch.images, drawn.greedy)
        sampled, greedy = (
            rewards(given.argmax(dim=1) == batch.labels, keep, self.shares, gamma=recipe.joint_gamma)
            for given, keep in ((logits, drawn.sampled), (compared, drawn.greedy))
        )
        loss: Tensor = policy_losses(sampled - greedy, drawn.log_p).mean() + self.answer_loss(logits, batch)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/reward", greedy.mean())
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the figures of `RoutedFigures`."""
        self.figures.log(self, batch)


class GateStage(LightningModule):
    """Instead of rewards: cross-entropy through sampled gates, with a penalty on cost beyond the budget.

    Every block is computed for every image, because each gate needs its gradient. Not in the paper.

    Args:
        network: The network to train.
        recipe: With method "gates".
        tune_backbone: Whether the backbone learns, too; its statistics stay as they are either way.
        teacher: The network to learn from, where the recipe has a distillation.
    """

    costs: Tensor

    def __init__(
        self, network: BlockDrop, recipe: BlockDropRecipe, *, tune_backbone: bool, teacher: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        self.network, self.recipe, self.tune_backbone = network, recipe, tune_backbone
        train_parts(network, backbone=tune_backbone)
        self.options = with_frozen_trunk(adam(recipe.joint_rate), recipe)
        hold_trunk(network.backbone, self.options)
        self.target = target_cost(network, recipe.budget)
        self.register_buffer("costs", torch.tensor(network.costs.per_unit), persistent=False)
        self.figures = RoutedFigures(recipe.joint_gamma if tune_backbone else recipe.gamma)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures Adam, as in the corresponding stage with rewards."""
        recipe = self.recipe
        if self.tune_backbone:
            parts = both_parts(self.network, self.options)
            return configure_optimizer(self, parts, self.options, recipe.joint_schedule)
        policy = {"policy": self.network.policy_network.parameters()}
        return configure_optimizer(self, policy, adam(recipe.policy_rate), recipe.policy_schedule)

    def on_train_start(self) -> None:
        """Holds still what does not learn; Lightning keeps modes over a validation."""
        hold_trunk(self.network.backbone, self.options)
        hold_statistics(self.network.backbone)
        if not self.tune_backbone:
            self.network.backbone.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns CE(F(x, g)) + penalty * excess cost of one batch."""
        scores = self.network.policy_network(batch.images).float()  # (B, U), before the sigmoid
        gates = straight_through_gates(scores, self.recipe.gate_temperature)
        logits = self.network.run_gated(batch.images, gates)
        excess = excess_cost(gates, self.costs, self.target)
        loss: Tensor = self.answer_loss(logits, batch) + self.recipe.gate_penalty * excess
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the figures of `RoutedFigures`."""
        self.figures.log(self, batch)


class StaticStage(LightningModule):
    """The same tuning as in stage 2 for a network without a decision: what a policy is to be held against.

    Args:
        network: From images (B, 3, S, S) to logits (B, K).
        recipe: Of the BlockDrop that it is compared with.
        teacher: The network that both learn from, where the recipe has a distillation.
    """

    def __init__(self, network: nn.Module, recipe: BlockDropRecipe, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        self.network, self.recipe = network.train(), recipe
        self.options = with_frozen_trunk(adam(recipe.joint_rate), recipe)
        hold_trunk(network, self.options)
        self.accuracy = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures Adam on all parameters."""
        parts = backbone_parts(self.network, self.options)
        return configure_optimizer(self, parts, self.options, self.recipe.joint_schedule)

    def on_train_start(self) -> None:
        """Treats trunk and statistics as stage 2 does; Lightning keeps modes over a validation."""
        hold_trunk(self.network, self.options)
        if self.recipe.norm == "frozen":
            hold_statistics(self.network)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        loss: Tensor = self.answer_loss(self.network(batch.images), batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy."""
        self.accuracy.update((self.network(batch.images).argmax(dim=1) == batch.labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True)


class RoutedStage(Protocol):
    """A stage whose decisions are watched."""

    network: BlockDrop
    recipe: BlockDropRecipe

    @property
    def log(self) -> Callable[..., None]:
        """Lightning's."""


class RoutedFigures(nn.Module):
    """The figures logged on validation images at the plain decision: accuracy, cost, blocks kept, and the mean reward.

    Args:
        gamma: Reward of a wrong prediction.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.accuracy, self.cost, self.blocks, self.reward = (MeanMetric() for _ in range(4))

    def log(self, stage: RoutedStage, batch: Batch) -> None:
        """Adds a batch and logs the means over the epoch; the cost is a share of the plain network's."""
        network = stage.network
        routed = network.predict(batch.images)
        is_right = (routed.outputs.argmax(dim=1) == batch.labels).cpu()
        shares = usage_shares(network.costs.per_unit, stage.recipe.reward_usage)
        self.accuracy.update(is_right.float())
        self.cost.update(routed.macs.float() / network.costs.plain)
        self.blocks.update(routed.routes.sum(dim=1).float())
        self.reward.update(rewards(is_right, routed.routes, shares, gamma=self.gamma))
        stage.log("val/accuracy", self.accuracy, prog_bar=True)
        stage.log("val/cost", self.cost, prog_bar=True)
        stage.log("val/blocks", self.blocks, prog_bar=True)
        stage.log("val/reward", self.reward, prog_bar=True)


def train_parts(network: BlockDrop, *, backbone: bool) -> None:
    """Lets the policy get gradients, and the backbone if asked for; releases what an earlier stage held still."""
    network.train()
    network.backbone.requires_grad_(backbone)
    network.policy_network.requires_grad_(True)


def both_parts(network: BlockDrop, options: OptimizerOptions) -> Parts:
    """Returns the parameters of backbone, see `backbone_parts`, and policy."""
    return {**backbone_parts(network.backbone, options), "policy": network.policy_network.parameters()}


def adam(learning_rate: float) -> OptimizerOptions:
    """Returns the options of Adam: one rate for all parts and no weight decay, as published."""
    return OptimizerOptions("adam", learning_rate)


def target_cost(network: BlockDrop, budget: float) -> float:
    """Returns what the budget, a share of the plain network's cost, leaves for the droppable blocks.

    Raises:
        RecipeError: If that is negative: policy, stem, shortcuts and head run for every image.
    """
    costs = network.costs
    target = budget * costs.plain - costs.decision - costs.floor
    if target < 0:
        least = (costs.decision + costs.floor) / costs.plain
        raise RecipeError(
            f"budget {budget} is out of reach: the policy and what always runs cost {least:.3f} of the plain network; "
            "raise it, or choose a smaller policy"
        )
    return target
