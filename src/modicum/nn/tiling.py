"""PyTorch's image-to-image networks on images of any size, in tiles; what memory cannot hold, smaller tiles do.

How images are cut and put together is in `modicum.nn.tiles`, which knows no torch.
"""
# B batch, C channels, H W pixels of the image, h w of a window, s scale

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.nn.tiles import Progress, Tiling, plan_tiling, run_in_tiles, smallest_tile

__all__ = ["Network", "Progress", "Tiling", "plan_tiling", "run_tiled", "smallest_tile"]

log = logging.getLogger(__name__)

Network = Callable[[Tensor], Tensor]


@torch.inference_mode()
def run_tiled(
    network: Network,
    image: NDArray[Any],
    tiling: Tiling,
    *,
    scale: int = 1,
    output: NDArray[Any] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Runs ``network`` on an image in tiles.

    If the accelerator runs out of memory, the run restarts with half the batch or, at batch 1, half the tile, and logs
    this.

    Args:
        network: Called with float32 (B, C, h, w) on ``device``, values as in the image, sides multiples of
            ``tiling.multiple``; gives (B, C', s h, s w).
        image: Shape (C, H, W), any numeric dtype; may be memory-mapped.
        tiling: How to cut; see `plan_tiling` for one that fits a bound.
        scale: Sides s of the result over those of the image.
        output: Where to write (C', s H, s W); may be memory-mapped. Whole numbers are rounded and clipped to their
            dtype's range. None makes a float32 array.
        device: Where the network is.
        progress: Called after each batch with the number of windows done and their total.

    Returns:
        ``output``, filled.

    Raises:
        ValueError: If the image or the output is not such an array, or the network's results have another size.
        torch.OutOfMemoryError: If the smallest tile does not fit.
    """
    where = torch.device(device)

    def run_batch(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        results: NDArray[np.float32] = network(torch.from_numpy(windows).to(where)).float().cpu().numpy()
        return results

    while True:
        try:
            return run_in_tiles(run_batch, image, tiling, scale=scale, output=output, progress=progress)
        except torch.OutOfMemoryError:
            smaller = tiling.halved()
            if smaller is None:
                raise
            sizes = tiling.batch, tiling.tile, smaller.batch, smaller.tile
            log.warning("out of memory with %d tiles of %d pixels; starting again with %d of %d", *sizes)
            tiling = smaller
