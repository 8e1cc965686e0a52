"""Computes the features of images under a frozen trunk, at every size and exit.

Each image is decoded once and resized to all sizes.
"""

# n images, V views of each, D features of all exits at one size, S side of the images in pixels
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modicum.classify.cascade.kept_rows import KeptRows
from modicum.classify.cascade.trunk import Trunk
from modicum.nn.resizing import Resize

PART = 64  # images whose features are computed and written together


@dataclass(frozen=True)
class FeatureStore:
    """A folder of features of images under one trunk.

    Attributes:
        folder: Place of the features until `remove`.
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
        rows = self._kept().rows(ids, lambda places: self._compute(images(places)))
        return {size: rows[str(size)] for size in self.sizes_px}

    def remove(self) -> None:
        """Removes the folder: the heads are fitted."""
        self._kept().remove()

    def _kept(self) -> KeptRows:
        digest = f"{self.digest} {self.sizes_px} {self.flip}"
        return KeptRows(self.folder, "features of images", digest, PART)

    @torch.inference_mode()
    def _compute(self, batches: Iterable[Tensor]) -> Mapping[str, Tensor]:
        rows: dict[int, list[Tensor]] = {size: [] for size in self.sizes_px}
        for images in batches:
            views = [images, images.flip(-1)] if self.flip else [images]
            for size, found in rows.items():
                resize = Resize(size)
                seen = [self.trunk(resize(view), 0, len(self.trunk.pieces))[1].float().cpu() for view in views]
                found.append(torch.stack(seen, dim=1))
        return {str(size): torch.cat(found) for size, found in rows.items()}
