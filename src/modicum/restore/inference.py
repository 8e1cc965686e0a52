"""A restoration network on whole images: in tiles, with or without the ensemble over symmetries."""

# c channels, H W size of an image in px, s scale
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from modicum.nn.symmetries import averaged_over_symmetries
from modicum.nn.tiling import Progress, Tiling, plan_tiling, run_tiled
from modicum.restore.pixels import channels_first, channels_last
from modicum.storage.errors import RecipeError

MEMORY_GIB = 2.0
GIB = 2**30
FEATHER = 4  # pixels: discarding a halo does the work, a longer feather adds nothing
# At the peak, on a CPU in fp32, 12.7 to 18.3 maps of all features are alive (features 16 and 64, tile 96, attention on
# and off); the first run of a process takes 16 to 25 MB more, whatever the tile, for the kernels themselves.
LIVE_MAPS = 20
ENLARGED_MAPS = 2.5  # more of them where the network enlarges, at the size of the result: x2 to x4 take up to 2.4
KERNEL_BYTES = 26 * 2**20


@dataclass(frozen=True)
class Inference:
    """How whole images are restored.

    Attributes:
        network: From (B, c, h, w) to (B, c, s h, s w), both in 0..255; in evaluation mode, on the device to run on.
        tiling: The tiles to prefer.
        bytes_per_pixel: What the network takes at its peak, per pixel of its input.
        scale: Sides of the result over those of the input, s.
        memory_gib: Bound on the memory beyond the image and its result: tiles become smaller where they must.
        is_ensemble: Average over the eight symmetries of a square, for eight times the time.

    Raises:
        RecipeError: If ``memory_gib`` is not positive, or not finite.
    """

    network: nn.Module
    tiling: Tiling
    bytes_per_pixel: float
    scale: int = 1
    memory_gib: float = MEMORY_GIB
    is_ensemble: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.memory_gib) and self.memory_gib > 0):
            raise RecipeError(f"memory_gib must be a positive number of GiB, got {self.memory_gib}")

    def restore(self, image: NDArray[Any], progress: Progress | None = None) -> NDArray[np.float32]:
        """Restores an image (H, W) or (H, W, 3) to (s H, s W) or (s H, s W, 3), float32, not clipped.

        Args:
            image: Values in 0..255.
            progress: Called with the number of tiles done and the total.

        Raises:
            RecipeError: If not even the smallest tile fits into the memory allowed.
        """
        planes = channels_first(image)
        network = averaged_over_symmetries(self.network) if self.is_ensemble else self.network
        weight = next(self.network.parameters())
        tiling = self._fitting_tiling(planes)
        restored = run_tiled(
            lambda windows: network(windows.to(weight.dtype)),
            planes,
            tiling,
            scale=self.scale,
            device=weight.device,
            progress=progress,
        )
        return channels_last(restored)

    def _fitting_tiling(self, planes: NDArray[Any]) -> Tiling:
        channels, height, width = planes.shape
        try:
            return plan_tiling(
                height,
                width,
                memory_bytes=max(self.memory_gib * GIB - KERNEL_BYTES, 0),
                bytes_per_pixel=self.bytes_per_pixel,
                channels=channels,
                scale=self.scale,
                preferred=self.tiling,
            )
        except ValueError as error:
            raise RecipeError(
                f"memory_gib of {self.memory_gib:g} is too little, {KERNEL_BYTES / GIB:.3f} of it for kernels: {error}"
            ) from error

    def with_tiles(self, tile: int, halo: int, feather: int) -> "Inference":
        """Returns the same inference with other tiles."""
        return replace(self, tiling=replace(self.tiling, tile=tile, halo=halo, feather=feather))


def make_inference(
    network: Any,  # noqa: ANN401  a restoration network, see Args
    *,
    tile: int,
    halo: int,
    memory_gib: float = MEMORY_GIB,
    is_ensemble: bool = False,
) -> Inference:
    """Makes an inference that restores whole images in tiles with a feather of `FEATHER` pixels.

    Args:
        network: With ``features``, ``scale`` and ``size_multiple``, in evaluation mode, on the device to run on.
        tile: Side of the tiles, in pixels of the input.
        halo: Pixels discarded at each inner side.
        memory_gib: See `Inference`.
        is_ensemble: See `Inference`.

    Raises:
        ValueError: If the tile is too small for its halo.
    """
    maps = LIVE_MAPS + (ENLARGED_MAPS * network.scale**2 if network.scale > 1 else 0)
    return Inference(
        network,
        Tiling(tile, halo, FEATHER, multiple=network.size_multiple),
        bytes_per_pixel=4 * network.features * maps,
        scale=network.scale,
        memory_gib=memory_gib,
        is_ensemble=is_ensemble,
    )


def count_parameters(network: nn.Module) -> int:
    """Counts the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
