"""Optimiser and learning-rate schedule from a recipe, in the form that Lightning takes."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from modicum.training.recipe import OptimizerOptions, Schedule

RISE = (
    0.3  # share of a one-cycle schedule that rises, as in Smith & Topin, *Super-Convergence*, 2018, and torch's default
)


def configure_sgd(
    module: LightningModule, groups: Iterable[dict[str, Any]], options: OptimizerOptions, schedule: Schedule
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns: SGD with its schedule stepped after every batch.

    Args:
        module: Attached to a Trainer that knows its number of steps.
        groups: Parameter groups; each may set its own ``lr``.
        options: The optimiser.
        schedule: The factor on every group's rate.
    """
    optimizer = torch.optim.SGD(
        groups,
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        nesterov=options.nesterov,
    )
    return _scheduled(module, optimizer, schedule)


def configure_adam(
    module: LightningModule, groups: Iterable[dict[str, Any]], learning_rate: float, schedule: Schedule
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns: Adam without weight decay, its schedule stepped after every batch.

    Args:
        module: Attached to a Trainer that knows its number of steps.
        groups: Parameter groups; each may set its own ``lr``.
        learning_rate: Of the groups that do not.
        schedule: The factor on every group's rate.
    """
    return _scheduled(module, torch.optim.Adam(groups, lr=learning_rate), schedule)


def _scheduled(module: LightningModule, optimizer: torch.optim.Optimizer, schedule: Schedule) -> dict[str, Any]:
    total_steps = int(module.trainer.estimated_stepping_batches)
    epochs = module.trainer.max_epochs or 1

    def factor(step: int) -> float:
        return rate_factor(schedule, step / total_steps, epochs)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class StepSchedules(Callback):
    """Moves the schedules with every batch where a module steps its optimisers itself, as Lightning does elsewhere."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Moves each schedule, whichever optimisers have stepped."""
        if not pl_module.automatic_optimization:
            for config in trainer.lr_scheduler_configs:
                pl_module.lr_scheduler_step(config.scheduler, None)


def rate_factor(schedule: Schedule, progress: float, epochs: float) -> float:
    """The factor on the learning rate, in [0, 1], when the share ``progress`` in [0, 1] of a stage's epochs is done."""
    if schedule.kind == "one_cycle":
        if progress < RISE:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / RISE)) / 2
        return (1 + math.cos(math.pi * (progress - RISE) / (1 - RISE))) / 2
    epoch = progress * epochs
    warmup = min(1.0, epoch / schedule.warmup_epochs) if schedule.warmup_epochs else 1.0
    if schedule.kind == "cosine":
        return warmup * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    if schedule.kind == "milestones":
        return warmup * schedule.factor ** sum(progress >= share for share in schedule.milestones)
    return warmup * schedule.factor ** int(epoch / schedule.step_epochs)
