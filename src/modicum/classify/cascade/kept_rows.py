"""Caches on disk what networks computed for images until a cascade is fitted, so that a killed training goes on.

A part of the images at a time is computed and written.
"""

# n images
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True)
class KeptRows:
    """A folder of named tensors with a row per image.

    Attributes:
        folder: Place of the parts; made when the first is written.
        what: The rows, for messages, e.g. "features of images".
        digest: Of everything that the rows depend on, beside the images.
        part: Images whose rows are computed, written and found again together.
    """

    folder: Path
    what: str
    digest: str
    part: int

    def rows(self, ids: Sequence[str], compute: Callable[[Sequence[int]], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Returns the rows of images by name, on the CPU; computes those not found on disk.

        Args:
            ids: Name of each image, whose content stays the same.
            compute: From the places of some images to their rows, on the CPU, under the same names each time.
        """
        parts = [range(start, min(start + self.part, len(ids))) for start in range(0, len(ids), self.part)]
        kept = {part: self._read(self._file(ids, part)) for part in parts}
        missing = [part for part, rows in kept.items() if rows is None]
        countdown = Countdown(self.what, sum(map(len, missing)), log.info)
        for part in missing:
            rows = kept[part] = compute(part)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(ids, part), save({name: tensor.contiguous() for name, tensor in rows.items()}))
            countdown.advance(len(part))
        whole = [rows for rows in kept.values() if rows is not None]
        return {name: torch.cat([rows[name] for rows in whole]) for name in whole[0]}

    def remove(self) -> None:
        """Removes the folder: the cascade is fitted."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, file: Path) -> Mapping[str, Tensor] | None:
        """Returns the rows in a file; None if there is none, or if it is damaged, which is logged."""
        if not file.is_file():
            return None
        try:
            return read_tensors(file)
        except SafetensorError as error:
            log.warning("%s is damaged (%s): it is computed again", file, error)
            return None

    def _file(self, ids: Sequence[str], part: Sequence[int]) -> Path:
        names = "\0".join([self.digest, *(ids[place] for place in part)])
        return self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.safetensors"
