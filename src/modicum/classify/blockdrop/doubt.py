"""Instead of rewards, a policy learns how wrong the network would be without each block (ours, not in the paper).

With rewards and gates, the worth of a block for an image is hidden behind the noise of the other decisions. Here the
blocks are dropped in one order, `nested_paths`, and the backbone is first tuned to all of those paths. The policy is
then taught by plain regression: the target of the blocks that a path drops last is the probability that the path gives
to the wrong classes, 1 - p(y | x, path). A threshold on these doubts keeps a block where it is missed; the threshold
that meets the budget becomes the policy's own.

The backbone may have seen the images that it is taught on, and doubt few of them. The policy "classifier" therefore
learns classes first, and then no more of the doubts than how they grow with its own.
"""

# B batch, U droppable blocks, D depths
import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.adaptive.calibration import bisect_knob
from modicum.classify.blockdrop.nested import draw_depths, nested_paths
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.normalisation import hold_statistics
from modicum.classify.blockdrop.policies import DoubtPolicy
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.blockdrop.training import RoutedFigures, train_parts
from modicum.classify.data.loading import Batch
from modicum.classify.distillation import AnswerLoss
from modicum.training.schedules import configure_adam

CERTAIN = 100.0  # log-odds beyond those of blocks that may go: a probability of 1 for any image


class NestedStage(LightningModule):
    """Before stage 1: the backbone learns to answer on every nested path; its statistics stay as they are.

    Args:
        network: Its backbone is trained.
        recipe: With method "doubt".
        teacher: The network to learn from, where the recipe has a distillation.
    """

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        self.network, self.recipe = network, recipe
        network.train().policy_network.requires_grad_(False)
        self.paths = nested_paths(network, recipe.doubt.least)
        self.accuracy, self.least_accuracy = MeanMetric(), MeanMetric()

    def configure_optimizers(self) -> Any:  # noqa: ANN401  Lightning's signature
        """Adam on the backbone."""
        groups = [{"params": self.network.backbone.parameters()}]
        return configure_adam(self, groups, self.recipe.doubt.nested_rate, self.recipe.joint_schedule)

    def on_train_start(self) -> None:
        """Holds statistics still; Lightning keeps modes over a validation."""
        hold_statistics(self.network.backbone)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of one batch of answers, each image on a path of its own."""
        keep = self.paths[draw_depths(len(batch.images), len(self.paths))]
        loss: Tensor = self.answer_loss(self.network.run(batch.images, keep), batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Accuracy with all blocks, and on the shortest path."""
        for name, metric, path in (("", self.accuracy, 0), ("_of_least", self.least_accuracy, -1)):
            logits = self.network.run(batch.images, self.paths[path].expand(len(batch.images), -1))
            metric.update((logits.argmax(dim=1) == batch.labels).float())
            self.log(f"val/accuracy{name}", metric, prog_bar=True)


class DoubtStage(LightningModule):
    """Stage 1: the policy learns the doubts that the backbone is left with on nested paths; the backbone stays.

    Blocks that no nested path drops are taught to be kept; a `DoubtPolicy` keeps them from the start, and its
    classifier stays as it is. What is watched is the plain decision, a threshold at 1/2, which keeps little beyond
    those before `settle` has moved it.

    Args:
        network: What is trained.
        recipe: With method "doubt".
    """

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        train_parts(network, backbone=False)
        self.paths = nested_paths(network, recipe.doubt.least, recipe.doubt.depths)
        if isinstance(network.policy_network, DoubtPolicy):
            network.policy_network.classifier.requires_grad_(False)
            network.policy_network.bias.data[self.paths[-1]] = CERTAIN
        self.figures = RoutedFigures(recipe.gamma)

    def configure_optimizers(self) -> Any:  # noqa: ANN401  Lightning's signature
        """Adam on the policy."""
        groups = [{"params": [each for each in self.network.policy_network.parameters() if each.requires_grad]}]
        return configure_adam(self, groups, self.recipe.policy_rate, self.recipe.policy_schedule)

    def on_train_start(self) -> None:
        """Holds still what does not learn; Lightning keeps modes over a validation."""
        self.network.backbone.eval()
        if isinstance(self.network.policy_network, DoubtPolicy):
            self.network.policy_network.classifier.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The binary cross-entropy of one batch, for the blocks that each image's path drops last."""
        scores = self.network.policy_network(batch.images).float()  # (B, U), before the sigmoid
        depths = torch.randint(1, len(self.paths), (len(scores),))
        with torch.no_grad():
            logits = self.network.run(batch.images, self.paths[depths])
        doubts = doubts_of(logits, batch.labels)
        dropped = (self.paths[depths - 1] & ~self.paths[depths]).to(scores.device)  # (B, U)
        losses = F.binary_cross_entropy_with_logits(scores, doubts[:, None].expand_as(scores), reduction="none")
        loss = ((losses * dropped).sum(dim=1) / dropped.sum(dim=1)).mean()
        if not isinstance(self.network.policy_network, DoubtPolicy):
            kept = scores[:, self.paths[-1].to(scores.device)]
            loss = loss + F.softplus(-kept).mean()  # the cross-entropy where the target is 1
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """See `RoutedFigures`."""
        self.figures.log(self, batch)


class DecidedStage(LightningModule):
    """Stage 2: the backbone is tuned to the paths that the policy chooses, which stays as it is, as do statistics.

    Args:
        network: Its backbone is trained.
        recipe: With method "doubt".
        teacher: The network to learn from, where the recipe has a distillation.
    """

    def __init__(self, network: BlockDrop, recipe: BlockDropRecipe, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.answer_loss = AnswerLoss(teacher, recipe.distillation)
        self.network, self.recipe = network, recipe
        train_parts(network, backbone=True)
        network.policy_network.requires_grad_(False)
        self.figures = RoutedFigures(recipe.joint_gamma)

    def configure_optimizers(self) -> Any:  # noqa: ANN401  Lightning's signature
        """Adam on the backbone."""
        groups = [{"params": self.network.backbone.parameters()}]
        return configure_adam(self, groups, self.recipe.joint_rate, self.recipe.joint_schedule)

    def on_train_start(self) -> None:
        """Holds still what does not learn; Lightning keeps modes over a validation."""
        hold_statistics(self.network.backbone)
        self.network.policy_network.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of one batch of answers on the paths decided."""
        with torch.no_grad():
            scores = self.network.scores(batch.images)
        logits = self.network.run(batch.images, self.network.policy.decide(scores, 0.0))
        loss: Tensor = self.answer_loss(logits, batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """See `RoutedFigures`."""
        self.figures.log(self, batch)


def doubts_of(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - p(y), the probability (B,) that the softmax of logits (B, K) gives to classes other than ``labels`` (B,)."""
    return 1 - logits.float().softmax(dim=1).gather(1, labels[:, None])[:, 0]


@torch.no_grad()
def settle(network: BlockDrop, scores: Tensor, budget: float) -> None:
    """Shifts the policy so that its plain decision, a probability of 1/2, spends the budget on average.

    Args:
        network: Its policy is a `DoubtPolicy`, or ends with a linear layer with a bias.
        scores: The probabilities (N, U) that the policy gave to images like those to come.
        budget: Share of the plain network's cost.
    """
    costs, policy = network.costs, network.policy

    def mean_cost(knob: float) -> float:
        return float(costs.of(policy.decide(scores, knob)).mean())

    knob = bisect_knob(mean_cost, budget * costs.plain, policy.knob_range(scores))
    threshold = torch.tensor(0.5 + knob, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    policy_network = network.policy_network
    ending = policy_network if isinstance(policy_network, DoubtPolicy) else _last_layer(policy_network)
    ending.bias.sub_(float(threshold.logit()))


@torch.no_grad()
def tie(network: BlockDrop, paths: Tensor) -> None:
    """Lets the policy decide alike on blocks that it was taught alike: those that a path drops at once.

    A `DoubtPolicy` then takes none but these paths, whatever the knob: it keeps what a longer path drops no less than
    what a shorter one does, and what none drops most of all.

    Args:
        network: Its policy is a `DoubtPolicy`, or ends with a linear layer with a bias.
        paths: As `nested_paths` gives them, (D, U).
    """
    policy = network.policy_network
    groups = [more & ~fewer for more, fewer in itertools.pairwise(paths.to(next(policy.parameters()).device))]
    if not isinstance(policy, DoubtPolicy):
        last = _last_layer(policy)
        for together in groups:
            last.weight[together] = last.weight[together].mean(dim=0)
            last.bias[together] = last.bias[together].mean()
        return
    policy.slope.clamp_(min=0)
    bias = -math.inf
    for together in groups:
        bias = max(bias, float(policy.bias[together].mean()))
        policy.bias[together] = bias
    policy.bias[paths[-1]] = bias + CERTAIN


def _last_layer(policy: nn.Module) -> nn.Linear:
    return [part for part in policy.modules() if isinstance(part, nn.Linear)][-1]
