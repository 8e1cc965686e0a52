"""What training says: one JSON line per logging step, always, and one line per epoch for a person."""

import json
import logging
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from modicum.storage.files import append_jsonl, read_jsonl, write_atomically
from modicum.training.progress import LINE_PAUSE_S, LONG_PAUSE_S, Rhythm, StagePlan, time_left

log = logging.getLogger(__name__)


class JsonLinesLogger(Logger):
    """Appends ``{"stage", "step", "epoch", figures...}`` to a file.

    Args:
        path: The file, which several stages share.
        stage: The stage that logs.
        step: The step at which this stage goes on: its later lines, left by a run that was killed, are dropped.
    """

    def __init__(self, path: Path, stage: str, *, step: int) -> None:
        super().__init__()
        self.path, self.stage = path, stage
        self._drop_lines_after(step)

    @property
    def name(self) -> str:
        """Name of the experiment, for Lightning."""
        return self.stage

    @property
    def version(self) -> str:
        """Version of the experiment, for Lightning."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends one line."""
        append_jsonl(self.path, {"stage": self.stage, "step": step, **metrics})

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  Lightning's signature
        """Does nothing: the recipe is in the run folder."""

    @rank_zero_only
    def _drop_lines_after(self, step: int) -> None:
        if not self.path.exists():
            return
        rows = read_jsonl(self.path)
        kept = [row for row in rows if row["stage"] != self.stage or row["step"] < step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))


class EpochLines(Callback):
    """Logs where the training stands: when a stage begins, after its epochs, and now and then within long ones.

    After an epoch, with the figures that the module shows in its progress bar. How much time is left is told for the
    whole training: from the steps of this stage that are done, as if the epochs of later ones took as long.

    Args:
        stage: The stage.
        plan: All stages.
        clock: Seconds since any moment.
    """

    def __init__(self, stage: str, plan: StagePlan, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage, self.plan, self.clock = stage, plan, clock
        self.after_epochs, self.within_epochs = (Rhythm(pause, clock) for pause in (LINE_PAUSE_S, LONG_PAUSE_S))
        self.start = self.epoch_start = clock()
        self.steps = 0

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs that the stage begins or resumes."""
        self.start = self.clock()
        begun = f", from epoch {trainer.current_epoch + 1}" if trainer.current_epoch else ""
        epochs = trainer.max_epochs
        log.info("%s: %s, %s epoch%s%s", self._place, self.stage, epochs, "" if epochs == 1 else "s", begun)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of the epoch."""
        self.epoch_start = self.clock()

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Counts the step, and logs a line if there has been none for a while."""
        self.steps += 1
        if not trainer.is_last_batch and self.within_epochs.is_due():
            step, steps = batch_idx + 1, trainer.num_training_batches
            left = self._left(trainer, step / steps)
            log.info("%s: %s  step %d of %g  (%s)", self._place, self._epoch(trainer), step, steps, left)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the figures, if the last line is not too recent; always after the first and the last epoch."""
        is_end = trainer.current_epoch in (0, (trainer.max_epochs or 0) - 1)
        if not (self.after_epochs.is_due() or is_end):
            return
        self.within_epochs.is_due()
        figures = "  ".join(
            f"{name} {float(value):.4g}" for name, value in trainer.progress_bar_metrics.items() if "_step" not in name
        )
        seconds, left = self.clock() - self.epoch_start, self._left(trainer, 1)
        log.info("%s: %s  %s  (%.0f s, %s)", self._place, self._epoch(trainer), figures, seconds, left)

    @property
    def _place(self) -> str:
        return self.plan.place(self.stage)

    def _epoch(self, trainer: Trainer) -> str:
        return f"{self.stage} {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def _left(self, trainer: Trainer, done_of_epoch: float) -> str:
        """Estimates the time that the rest of this stage and the epochs of later ones will take."""
        epochs = (trainer.max_epochs or 0) - trainer.current_epoch - done_of_epoch + self.plan.epochs_after(self.stage)
        per_epoch = (self.clock() - self.start) / max(1, self.steps) * trainer.num_training_batches
        return time_left(per_epoch * epochs)
