"""Ends a training that diverges, and says when one gets worse instead of better, while there is time to stop it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from modicum.storage.errors import DivergedError

log = logging.getLogger(__name__)

WATCHED_STEPS = 10  # losses looked at together, because each look waits for the device
START_STEPS = 10  # the loss of a single step is too noisy to compare with
RISE_SHARE, RISE_LEAST = 0.25, 0.25  # a fine-tuned network starts near 0, and a warm-up may lift it a little


def batches_done(trainer: Trainer) -> int:
    """Counts the batches of a stage, this one included; ``global_step`` counts the steps of each of its optimisers."""
    return trainer.fit_loop.total_batch_idx + 1


class StopDiverged(Callback):
    """Ends a fit whose loss, weights or running statistics are no longer finite, before they reach a checkpoint.

    Args:
        stage: Name of the stage.
        folder: Where its checkpoints are.
    """

    def __init__(self, stage: str, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self._losses: dict[int, Tensor] = {}  # by the step, because not every step needs to give one

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Collects the loss; looks at several at once, and at weights and statistics at the end of an epoch."""
        if isinstance(outputs, Mapping) and "loss" in outputs:
            self._losses[batches_done(trainer)] = outputs["loss"].detach()
        if self._losses and (len(self._losses) >= WATCHED_STEPS or trainer.is_last_batch):
            self._check_losses(trainer)
        if trainer.is_last_batch:
            self._check_state(trainer, pl_module)

    def _check_losses(self, trainer: Trainer) -> None:
        steps, losses = list(self._losses), torch.stack([loss.float() for loss in self._losses.values()])
        self._losses.clear()
        bad = (~losses.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            self._stop(trainer, f"the loss of step {steps[bad[0]]} is {float(losses[bad[0]])}")

    def _check_state(self, trainer: Trainer, module: LightningModule) -> None:
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_floating_point() and not value.isfinite().all():
                self._stop(trainer, f"after step {batches_done(trainer)}, {name} is not finite")

    def _stop(self, trainer: Trainer, what: str) -> None:
        epoch = trainer.current_epoch
        kept = f"{self.folder / 'last.ckpt'} keeps epoch {epoch}" if epoch else "no epoch was finished"
        raise DivergedError(
            f"stage {self.stage} diverged: {what}, in epoch {epoch + 1} of {trainer.max_epochs}; {kept}; "
            "train anew with a lower learning rate for this stage"
        )


class RisingLoss(Callback):
    """Logs one warning in a stage whose loss, averaged over an epoch, rises over what it started with.

    Args:
        stage: Name of the stage.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.start: float | None = None
        self.warned = False
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed stage compares with."""
        return {"start": self.start, "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.start, self.warned = state_dict["start"], state_dict["warned"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Collects the loss; looks at it once an epoch, because each look waits for the device."""
        if isinstance(outputs, Mapping) and "loss" in outputs:
            self._losses.append(outputs["loss"].detach().float())
        if trainer.is_last_batch and self._losses:
            losses = torch.stack(self._losses)
            self._losses.clear()
            if self.start is None:
                self.start = float(losses[:START_STEPS].mean())
            if trainer.is_global_zero:
                self._compare(float(losses.mean()), trainer)

    def _compare(self, mean: float, trainer: Trainer) -> None:
        assert self.start is not None  # set before
        if self.warned or mean <= self.start + max(RISE_LEAST, RISE_SHARE * abs(self.start)):
            return
        self.warned = True
        log.warning(
            "stage %s gets worse: its loss was %.3g at the start and is %.3g in epoch %d of %s; if it does not fall "
            "below the start soon, stop, and train anew with a lower learning rate for this stage",
            self.stage,
            self.start,
            mean,
            trainer.current_epoch + 1,
            trainer.max_epochs,
        )
