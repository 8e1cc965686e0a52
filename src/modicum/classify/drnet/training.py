"""The stages of DRNet's training as Lightning modules (Zhu et al., 2021, sections 3 and 4.1)."""

# B batch, R resolutions, K classes
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torchmetrics import MeanMetric

from modicum.adaptive.execution import group_rows, select_run_scatter
from modicum.classify.backbone_options import with_trunk
from modicum.classify.data.loading import Batch
from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.drnet.losses import cost_penalty, multi_resolution_loss, straight_through_choice
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.normalisation import ResolutionNorm
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.trunk import backbone_parts, hold_trunk
from modicum.storage.errors import RecipeError
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Reduction, Schedule

log = logging.getLogger(__name__)

COLLAPSED = 0.95  # share of one route above which a user should know that nothing adapts any more
LEAST_GROUP = 8  # a smaller group has too noisy batch statistics to train on


class MultiResolutionStage(LightningModule):
    """Stage 1: every batch at every resolution, losses summed or averaged; a predictor is not touched."""

    def __init__(
        self,
        network: DRNet | ExitingDRNet,
        optimizer: OptimizerOptions,
        schedule: Schedule,
        *,
        distillation: float = 0.0,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__()
        self.network, self.reduction = network, reduction
        network.requires_grad_(False).backbone.requires_grad_(True)
        hold_trunk(network.backbone, optimizer)
        self.optimizer_options, self.schedule, self.distillation = optimizer, schedule, distillation
        self.accuracies = nn.ModuleList(MeanMetric() for _ in network.resolutions)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser on the backbone."""
        parts = backbone_parts(self.network.backbone, self.optimizer_options)
        return configure_optimizer(self, parts, self.optimizer_options, self.schedule)

    def on_train_start(self) -> None:
        """Holds a frozen trunk still; Lightning keeps modes over a validation."""
        hold_trunk(self.network.backbone, self.optimizer_options)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch over all resolutions."""
        logits = self.network.every_resolution(batch.images)
        loss = multi_resolution_loss(logits, batch.labels, distillation=self.distillation, reduction=self.reduction)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy at each resolution; their mean selects the best checkpoint."""
        hits = self.network.every_resolution(batch.images).argmax(dim=2) == batch.labels[:, None]
        for column, (side, metric) in enumerate(zip(self.network.resolutions, self.accuracies, strict=True)):
            assert isinstance(metric, MeanMetric)  # a ModuleList does not say what it holds
            metric.update(hits[:, column].float())
            self.log(f"val/accuracy_{side}px", metric, prog_bar=True)
        self.log("val/accuracy", hits.float().mean(), batch_size=len(hits), sync_dist=True)


class WarmStartStage(LightningModule):
    """The optional supervised start: the predictor learns to name the cheapest resolution that is correct.

    Args:
        network: Whose predictor is trained.
        targets: Shape (number of training images,): the label of the image at each position of the training set.
        optimizer: Of the predictor.
        schedule: Of its learning rate.
    """

    targets: Tensor

    def __init__(self, network: DRNet, targets: Tensor, optimizer: OptimizerOptions, schedule: Schedule) -> None:
        super().__init__()
        self.network = network
        train_parts(network, backbone=False, predictor=True)
        self.register_buffer("targets", targets)
        self.optimizer_options, self.schedule = optimizer, schedule
        self.accuracy = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures the optimiser on the predictor."""
        parts = {"predictor": self.network.predictor.parameters()}
        return configure_optimizer(self, parts, self.optimizer_options, self.schedule)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the cross-entropy between log pi and the cheapest correct resolution."""
        targets = self.targets[batch.positions]
        loss = F.nll_loss(self.network.scores(batch.images), targets)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs the accuracy of the routed network."""
        self.accuracy.update((self.network.predict(batch.images).outputs.argmax(dim=1) == batch.labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True)


class JointStage(LightningModule):
    """Stage 2: backbone and predictor together, cross-entropy of the chosen resolution plus the cost penalty."""

    route_costs: Tensor

    def __init__(self, network: DRNet, recipe: DRNetRecipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        train_parts(network, backbone=True, predictor=True)
        self.options = self._options()
        hold_trunk(network.backbone, self.options)
        self.target = target_cost(network, recipe.budget)
        self.register_buffer("route_costs", torch.tensor(network.costs.per_route), persistent=False)
        self.accuracy, self.cost = MeanMetric(), MeanMetric()
        self.shares = nn.ModuleList(MeanMetric() for _ in network.resolutions)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures SGD; the predictor learns at its own, lower rate."""
        network = self.network
        parts = {**backbone_parts(network.backbone, self.options), "predictor": network.predictor.parameters()}
        return configure_optimizer(self, parts, self.options, self.recipe.joint_schedule)

    def _options(self) -> OptimizerOptions:
        recipe = self.recipe
        rate, rates = recipe.optimizer.learning_rate * recipe.joint_rate, {"predictor": recipe.predictor_rate}
        return with_trunk(replace(recipe.optimizer.general(), learning_rate=rate, part_rates=rates), recipe)

    def on_train_start(self) -> None:
        """Holds still what the recipe says: statistics, the trunk; Lightning keeps modes over a validation."""
        hold_trunk(self.network.backbone, self.options)
        if self.recipe.statistics == "frozen":
            for norm in batch_norms(self.network.backbone):
                norm.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns CE(sum_j h_j F(x_j)) + eta L_reg of one batch, plus the auxiliary loss if there is one."""
        recipe = self.recipe
        choice = straight_through_choice(self.network.scores(batch.images), recipe.temperature)  # (B, R)
        if recipe.routing_gradient == "all":
            every = self.network.every_resolution(batch.images)
            logits = (choice[:, :, None] * every).sum(dim=1)
            kept = multi_resolution_loss(every, batch.labels, distillation=recipe.distillation, reduction="mean")
            auxiliary = recipe.auxiliary * kept
        else:
            logits = run_selected(self.network, batch.images, choice)
            auxiliary = torch.zeros_like(logits[0, 0])
        penalty = cost_penalty(choice, self.route_costs, self.target)
        loss = F.cross_entropy(logits, batch.labels) + recipe.penalty * penalty + auxiliary
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Logs accuracy, mean cost as a share of the plain network's, and the share of each route."""
        routed = self.network.predict(batch.images)
        self.accuracy.update((routed.outputs.argmax(dim=1) == batch.labels).float())
        self.cost.update(routed.macs.float() / self.network.costs.plain)
        self.log("val/accuracy", self.accuracy, prog_bar=True)
        self.log("val/cost", self.cost, prog_bar=True)
        for route, (side, metric) in enumerate(zip(self.network.resolutions, self.shares, strict=True)):
            assert isinstance(metric, MeanMetric)  # a ModuleList does not say what it holds
            metric.update((routed.routes == route).float())
            self.log(f"val/share_{side}px", metric)

    def on_validation_epoch_end(self) -> None:
        """Says when routing has collapsed."""
        if not self.trainer.is_global_zero:
            return
        for side in self.network.resolutions:
            share = float(self.trainer.callback_metrics.get(f"val/share_{side}px", 0.0))
            if share > COLLAPSED:
                log.warning(
                    "routing has collapsed: %.1f %% of the validation images go to %d px; raise the budget, lower the "
                    "penalty, start warm, or use routing_gradient='all'",
                    100 * share,
                    side,
                )


def train_parts(network: DRNet, *, backbone: bool, predictor: bool) -> None:
    """Says which parts get gradients: several processes wait for each other's gradient of every weight that does."""
    network.backbone.requires_grad_(backbone)
    network.predictor.requires_grad_(predictor)


def target_cost(network: DRNet, budget: float) -> float:
    """Returns alpha: what the budget, a share of the plain network's cost, leaves after the predictor.

    Raises:
        RecipeError: If that is less than the smallest resolution costs.
    """
    costs = network.costs
    target, least = budget * costs.plain - costs.decision, min(costs.per_route)
    if target < least:
        raise RecipeError(
            f"budget {budget} is out of reach: the predictor and the smallest resolution alone cost "
            f"{(least + costs.decision) / costs.plain:.3f} of the plain network; raise it, or choose a smaller "
            "predictor"
        )
    return target


def run_selected(network: DRNet, images: Tensor, choice: Tensor) -> Tensor:
    """Returns logits h_j F(x_j) (B, K) of the chosen resolution only; ``choice`` h (B, R) is one-hot in value.

    Groups too small for batch statistics are normalised with the running ones.
    """
    routes = choice.argmax(dim=1)
    sizes = {route: len(rows) for route, rows in group_rows(routes, choice.shape[1])}

    def run_at(route: int, group: Tensor) -> Tensor:
        if sizes[route] >= LEAST_GROUP:
            return network.at_resolution(group, route)
        with running_statistics(network.backbone, route):
            return network.at_resolution(group, route)

    runs = [lambda group, route=route: run_at(route, group) for route in range(choice.shape[1])]
    return select_run_scatter(images, routes, runs) * choice.gather(1, routes[:, None])


@contextmanager
def running_statistics(backbone: nn.Module, route: int) -> Iterator[None]:
    """Normalises with the running statistics of resolution ``route`` inside the body."""
    norms = norms_at(backbone, route)
    before = [norm.training for norm in norms]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm, training in zip(norms, before, strict=True):
            norm.train(training)


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Lists every batch normalisation in ``network``."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def norms_at(backbone: nn.Module, route: int) -> list[BatchNorm]:
    """Lists every batch normalisation of resolution ``route``."""
    modules = [module.per_resolution[route] for module in backbone.modules() if isinstance(module, ResolutionNorm)]
    return [norm for norm in modules if isinstance(norm, BatchNorm)]


@torch.no_grad()
def reestimate_statistics(network: DRNet, batches: Iterable[Tensor], batch_size: int) -> None:
    """Sets the running statistics of each resolution to those of the images that are routed there.

    Joint training with gradients over all resolutions shows every image to every resolution; routed inference does not.

    Args:
        network: Changed in place; left in evaluation mode.
        batches: Images (n, 3, S, S); routed by the plain decision and collected by route.
        batch_size: Images per forward pass. A resolution with fewer images than `LEAST_GROUP` keeps what it has.
    """
    network.eval()
    waiting: list[list[Tensor]] = [[] for _ in network.resolutions]
    seen = [0] * len(network.resolutions)

    def absorb(route: int) -> None:
        group = torch.cat(waiting[route])
        waiting[route].clear()
        with _averaging_statistics(network.backbone, route, afresh=not seen[route]):
            network.at_resolution(group, route)
        seen[route] += len(group)

    for images in batches:
        routes = network.policy.decide(network.scores(images), 0.0)
        for route, rows in group_rows(routes, len(network.resolutions)):
            waiting[route].append(images[rows.to(images.device)])
            if sum(map(len, waiting[route])) >= batch_size:
                absorb(route)
    for route, groups in enumerate(waiting):
        # A small rest would weigh as much in the average as a full batch: it only counts where there is nothing else.
        if not seen[route] and sum(map(len, groups)) >= LEAST_GROUP:
            absorb(route)


@contextmanager
def _averaging_statistics(backbone: nn.Module, route: int, *, afresh: bool) -> Iterator[None]:
    norms = norms_at(backbone, route)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        if afresh:
            norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
