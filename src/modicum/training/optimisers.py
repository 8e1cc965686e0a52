"""Optimiser and learning-rate schedule from a recipe, in the form that Lightning takes."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer

from modicum.training.recipe import OptimizerOptions, Schedule, require

RISE = 0.3  # share of a one-cycle schedule that rises: Smith & Topin, *Super-Convergence*, 2018, and torch's default

Parts = Mapping[str, Iterable[nn.Parameter]]
"""Parameters by the name of their part of the network, such as "encoder", whose rate may differ."""


def build_optimizer(options: OptimizerOptions, parts: Parts) -> Optimizer:
    """Builds torch's optimiser with a group for each part that has parameters, at the rate that the options give it.

    Raises:
        RecipeError: If the options name a part that is not among them.
    """
    unknown = sorted(set(options.part_rates) - set(parts))
    require(not unknown, "optimizer.part_rates", f"of parts among {', '.join(parts)}", ", ".join(unknown))
    listed = {part: list(parameters) for part, parameters in parts.items()}
    groups = [{"params": listed[part], "lr": options.rate_of(part)} for part in listed if listed[part]]
    optimizer = _build(options, groups)
    optimizer.defaults["gradient_clip"] = options.gradient_clip  # where it is in no checkpoint
    return optimizer


def _build(options: OptimizerOptions, groups: Iterable[dict[str, Any]]) -> Optimizer:
    decay = options.weight_decay
    if options.kind == "sgd":
        return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=decay, nesterov=options.nesterov)
    adam = torch.optim.AdamW if options.kind == "adamw" else torch.optim.Adam
    return adam(groups, betas=options.betas, eps=options.epsilon, weight_decay=decay)


def clip_gradients(optimizer: Optimizer) -> None:
    """Clips the norm of the gradients that an optimiser of `build_optimizer` is about to follow, if its options ask."""
    greatest = optimizer.defaults.get("gradient_clip")
    if greatest is not None:
        nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], greatest)


def configure_optimizer(
    module: LightningModule, parts: Parts, options: OptimizerOptions, schedule: Schedule
) -> OptimizerLRSchedulerConfig:
    """Returns the result of ``configure_optimizers`` for Lightning: a list if there are several optimisers.

    Args:
        module: Attached to a Trainer that knows its number of steps.
        parts: What learns.
        options: The optimiser.
        schedule: The factor on the rate of every part, by batch.
    """
    total_steps = int(module.trainer.estimated_stepping_batches)
    epochs = module.trainer.max_epochs or 1
    optimizer = build_optimizer(options, parts)
    return scheduled(optimizer, lambda step: rate_factor(schedule, step / total_steps, epochs))


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> OptimizerLRSchedulerConfig:
    """Returns an optimiser for Lightning whose rates are multiplied by a factor of the batches that are done."""
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class ClipGradients(Callback):
    """Clips the gradients of each optimiser of a stage, before each of its steps, as its own options ask."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Clips, see `clip_gradients`."""
        clip_gradients(optimizer)


class StepSchedules(Callback):
    """Moves the schedules with every batch where a module steps its optimisers itself, as Lightning does elsewhere."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Moves each schedule, whichever optimisers have stepped."""
        if not pl_module.automatic_optimization:
            for config in trainer.lr_scheduler_configs:
                pl_module.lr_scheduler_step(config.scheduler, None)


def rate_factor(schedule: Schedule, progress: float, epochs: float) -> float:
    """Returns the factor on the learning rate, in [0, 1], after the share ``progress`` of a stage's epochs."""
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
