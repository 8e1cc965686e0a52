"""Checkpoints that a kill at any moment leaves whole, that execute nothing, and that name their own damage."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from modicum.storage.errors import RunError
from modicum.storage.zip_seals import checkpoint_remedy, seal_zip, verify_zip


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the old checkpoint and renames.

    Lightning's own plugin moves a file from the system's temporary folder, which copies where that is another disk.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401  Lightning's signature
    ) -> None:
        """Writes ``checkpoint`` so that ``path`` is at every moment the old or the new one, whole."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f"{target.name}.part")
        with beside.open("wb") as file:
            torch.save(checkpoint, file)
        seal_zip(beside)
        beside.replace(target)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any = None,  # noqa: ANN401  Lightning's signature
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads a checkpoint; always with ``weights_only=True``, whatever the caller asks."""
        return load_checkpoint(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Removes a checkpoint, if it is there."""
        Path(path).unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Loads a checkpoint on the CPU without executing anything in it.

    Raises:
        RunError: If it is missing, has no digest, or is not as it was written.
    """
    file = Path(path)
    if not file.is_file():
        raise RunError(f"{file} is missing: {checkpoint_remedy(file)}")
    verify_zip(file)
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of many types, and worded as advice to switch the protection off
        raise RunError(f"{file} cannot be read ({type(error).__name__}): {checkpoint_remedy(file)}") from error
    return checkpoint


def count_batches(checkpoint: Mapping[str, Any]) -> int:
    """Counts the batches that a stage had seen at its checkpoint, however many optimisers stepped after each."""
    return int(checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["completed"])
