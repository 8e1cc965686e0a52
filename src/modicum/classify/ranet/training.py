"""The stage of RANet's training as a Lightning module (Yang et al., CVPR 2020, section 4; the authors' main.py)."""

# B batch, E exits, K classes

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric

from modicum.classify.data.loading import Batch
from modicum.classify.ranet.network import RANet
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Reduction, Schedule

WATCHED_KNOB = 0.1  # before its rule is fitted, a network lets images leave that it is 90 % sure of


class ExitsStage(LightningModule):
    """All exits together: every batch runs through the whole network, the losses of its exits are summed or averaged.

    Args:
        network: All of its weights are trained.
        optimizer: On everything.
        schedule: Of its learning rate.
        reduction: What becomes of the losses of the exits.
    """

    def __init__(
        self, network: RANet, optimizer: OptimizerOptions, schedule: Schedule, *, reduction: Reduction = "sum"
    ) -> None:
        super().__init__()
        self.network, self.reduction = network, reduction
        self.optimizer_options, self.schedule = optimizer, schedule
        self.accuracies = nn.ModuleList(MeanMetric() for _ in range(network.structure.num_exits))
        self.routed_accuracy, self.cost = MeanMetric(), MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser on all parameters, normalisations included, as published."""
        return configure_optimizer(self, {"network": self.network.parameters()}, self.optimizer_options, self.schedule)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Returns the loss of one batch over all exits."""
        loss = loss_over_exits(self.network.every_exit(batch.images), batch.labels, self.reduction)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Logs the accuracy of each exit, and the accuracy and cost when images leave at the first confident exit.

        The accuracy of the last exit selects the best checkpoint, as in the authors' code.
        """
        logits = self.network.every_exit(batch.images)
        hits = (logits.argmax(dim=2) == batch.labels[:, None]).float()  # (B, E)
        last = hits.shape[1] - 1
        for index, metric in enumerate(self.accuracies):
            assert isinstance(metric, MeanMetric)  # a ModuleList does not say what it holds
            metric.update(hits[:, index])
            self.log(
                "val/accuracy" if index == last else f"val/accuracy_exit{index + 1}", metric, prog_bar=index == last
            )
        self._watch_routed(logits, batch.labels)

    def _watch_routed(self, logits: Tensor, labels: Tensor) -> None:
        """Logs what a routed pass would give, read off the logits of all exits: they do not depend on who has left."""
        network = self.network
        answers = network.answers(logits)
        routes = network.policy.decide(network.confidence(answers), WATCHED_KNOB)
        right = (answers.argmax(dim=2) == labels[:, None]).float()  # (B, E)
        self.routed_accuracy.update(right.gather(1, routes.to(right.device)[:, None]))
        self.cost.update(network.costs.of(routes).float() / network.costs.plain)
        self.log("val/accuracy_routed", self.routed_accuracy, prog_bar=True)
        self.log("val/cost", self.cost, prog_bar=True)


def loss_over_exits(logits: Tensor, labels: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Sums or averages the cross-entropy of the exits, with equal weights.

    Args:
        logits: Shape (B, E, K).
        labels: Shape (B,), int64.
        reduction: Over the exits.
    """
    num_exits = logits.shape[1]
    mean = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(num_exits))
    return num_exits * mean if reduction == "sum" else mean
