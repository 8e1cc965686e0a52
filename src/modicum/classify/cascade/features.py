"""Computes what a frozen trunk makes of images at every size and exit, and keeps it on disk until heads are fitted.

Each image is decoded once and resized to all sizes; a part of the images at a time is written when it is done, so a
training that was killed goes on with the next part.
"""

# n images, V views of each, D features of all exits at one size, S side of the images in pixels
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from modicum.classify.cascade.trunk import Trunk
from modicum.nn.resizing import Resize
from modicum.storage.files import write_atomically
from modicum.storage.tensors import read_tensors
from modicum.training.progress import Countdown

log = logging.getLogger(__name__)

PART = 64  # images whose features are computed, written and found again together


@dataclass(frozen=True)
class FeatureStore:
    """A folder of features of images under one trunk.

    Attributes:
        folder: Where the parts are; made when the first is written.
        trunk: In evaluation mode, on its device.
        sizes_px: Sizes at which it runs.
        digest: Of the trunk's weights and of everything else that the features depend on, beside the images.
        flip: Whether each image is also seen mirrored.
    """

    folder: Path
    trunk: Trunk
    sizes_px: tuple[int, ...]
    digest: str
    flip: bool = False

    def features(self, ids: Sequence[str], images: Callable[[Sequence[int]], Iterable[Tensor]]) -> dict[int, Tensor]:
        """Returns the features of images at each size, (n, V, D) float32 on the CPU; computes those not found on disk.

        Args:
            ids: Name of each image, whose content stays the same.
            images: From the places of some images to batches of them, (m, 3, S, S), normalised, on the trunk's device.
        """
        parts = [range(start, min(start + PART, len(ids))) for start in range(0, len(ids), PART)]
        kept = [self._read(self._file(ids, part)) for part in parts]
        missing = [place for place, rows in enumerate(kept) if rows is None]
        countdown = Countdown("features of images", sum(len(parts[place]) for place in missing), log.info)
        for place in missing:
            rows = self._compute(images(parts[place]))
            self.folder.mkdir(parents=True, exist_ok=True)
            named = {str(size): found for size, found in rows.items()}
            write_atomically(self._file(ids, parts[place]), save(named))
            kept[place] = rows
            countdown.advance(len(parts[place]))
        whole = [rows for rows in kept if rows is not None]
        return {size: torch.cat([rows[size] for rows in whole]) for size in self.sizes_px}

    def remove(self) -> None:
        """Removes the folder: the heads are fitted."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @torch.inference_mode()
    def _compute(self, batches: Iterable[Tensor]) -> Mapping[int, Tensor]:
        rows: dict[int, list[Tensor]] = {size: [] for size in self.sizes_px}
        for images in batches:
            views = [images, images.flip(-1)] if self.flip else [images]
            for size, found in rows.items():
                resize = Resize(size)
                seen = [self.trunk(resize(view), 0, len(self.trunk.pieces))[1].float().cpu() for view in views]
                found.append(torch.stack(seen, dim=1))
        return {size: torch.cat(found) for size, found in rows.items()}

    def _read(self, file: Path) -> Mapping[int, Tensor] | None:
        """Returns the features in a file; None if there is none, or it is damaged, which is told."""
        if not file.is_file():
            return None
        try:
            return {int(size): rows for size, rows in read_tensors(file).items()}
        except SafetensorError as error:
            log.warning("%s is damaged (%s): its features are computed again", file, error)
            return None

    def _file(self, ids: Sequence[str], part: Sequence[int]) -> Path:
        names = "\0".join([self.digest, str(self.sizes_px), str(self.flip), *(ids[place] for place in part)])
        return self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.safetensors"
