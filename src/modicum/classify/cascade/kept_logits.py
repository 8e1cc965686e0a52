"""Keeps on disk what candidates said of images until a cascade of them is chosen, so that a killed fitting goes on."""

# N images, C candidates, K classes
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from modicum.storage.files import write_atomically
from modicum.storage.tensors import read_tensors
from modicum.training.progress import Countdown

log = logging.getLogger(__name__)

PART = 256  # images whose logits are computed, written and found again together


@dataclass(frozen=True)
class KeptLogits:
    """A folder of logits of images.

    Attributes:
        folder: Where the parts are; made when the first is written.
        digest: Of everything that the logits depend on, beside the images.
    """

    folder: Path
    digest: str

    def logits(self, ids: Sequence[str], compute: Callable[[Sequence[int]], Tensor]) -> Tensor:
        """Returns the logits (N, C, K) of images; computes those not found on disk.

        Args:
            ids: Name of each image, whose content stays the same.
            compute: From the places of some images to their logits, float32 on the CPU.
        """
        parts = [range(start, min(start + PART, len(ids))) for start in range(0, len(ids), PART)]
        kept = {part: self._read(self._file(ids, part)) for part in parts}
        missing = [part for part, rows in kept.items() if rows is None]
        countdown = Countdown("answers of the members", sum(map(len, missing)), log.info)
        for part in missing:
            rows = kept[part] = compute(part)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(ids, part), save({"logits": rows.contiguous()}))
            countdown.advance(len(part))
        return torch.cat([rows for rows in kept.values() if rows is not None])

    def remove(self) -> None:
        """Removes the folder: the cascade is chosen."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, file: Path) -> Tensor | None:
        """Returns the logits in a file; None if there is none, or it is damaged, which is told."""
        if not file.is_file():
            return None
        try:
            return read_tensors(file)["logits"]
        except (SafetensorError, KeyError) as error:
            log.warning("%s is damaged (%s): its logits are computed again", file, error)
            return None

    def _file(self, ids: Sequence[str], part: Sequence[int]) -> Path:
        names = "\0".join([self.digest, *(ids[place] for place in part)])
        return self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.safetensors"
