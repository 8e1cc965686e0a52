"""What training says: one JSON line per logging step, always, and one line per epoch for a person."""

import json
import logging
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from modicum.storage.files import append_jsonl, read_jsonl, write_atomically

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
        """Nothing: the recipe is in the run folder."""

    @rank_zero_only
    def _drop_lines_after(self, step: int) -> None:
        if not self.path.exists():
            return
        rows = read_jsonl(self.path)
        kept = [row for row in rows if row["stage"] != self.stage or row["step"] < step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))


class EpochLines(Callback):
    """Logs one line after each epoch with the figures that matter: those that the module shows in its progress bar."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the line, on the first process only."""
        if not trainer.is_global_zero:
            return
        figures = "  ".join(
            f"{name} {float(value):.4g}" for name, value in trainer.progress_bar_metrics.items() if "_step" not in name
        )
        seconds = time.monotonic() - self.started
        log.info("%s %d/%d  %s  (%.0f s)", self.stage, trainer.current_epoch + 1, trainer.max_epochs, figures, seconds)
