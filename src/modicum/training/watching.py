"""Says when a training gets worse instead of better, while there is time to stop it."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

log = logging.getLogger(__name__)

START_STEPS = 10  # the loss of a single step is too noisy to compare with
RISE_SHARE, RISE_LEAST = 0.25, 0.25  # a fine-tuned network starts near 0, and a warm-up may lift it a little


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
        """Takes up what `state_dict` gave."""
        self.start, self.warned = state_dict["start"], state_dict["warned"]

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  Lightning's signature
        batch: object,
        batch_idx: int,
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
