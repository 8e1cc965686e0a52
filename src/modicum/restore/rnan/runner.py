"""Runs an exported RNAN with numpy, ONNX Runtime and Pillow alone: the reference for ports.

The graph takes tiles of one size; cutting and blending is that of PyTorch's network, `modicum.nn.tiles`.
"""

# B batch, c channels, T side of a tile in px, H W size of an image in px, s scale
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.nn.tiles import Progress, Tiling, run_in_tiles
from modicum.restore.pixels import channels_first, channels_last
from modicum.restore.task import Task

SYSTEM = "rnan"
DETAILS = ("channels", "feather", "halo", "multiple", "scale", "task", "tile")  # of the manifest


class OnnxRNAN:
    """An exported RNAN; with `modicum.restore.predictor.Predictor` around it, it restores photographs.

    Args:
        folder: What `modicum.restore.rnan.export.export_rnan` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is no such export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        details = manifest.details
        self.task = Task(**details["task"])
        self.channels: int = details["channels"]
        self.scale: int = details["scale"]
        self.tiling = Tiling(
            details["tile"], details["halo"], details["feather"], multiple=details["multiple"], is_fixed=True
        )
        self._graph = GraphRunner(Path(folder), manifest.graphs["restoration"], threads=threads)

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns restored tiles (B, c, s T, s T), not clipped, of degraded ones (B, c, T, T), both in 0..255.

        Raises:
            ValueError: If the tiles are of another shape or type.
        """
        side = self.tiling.tile
        if tiles.ndim != 4 or tiles.shape[1:] != (self.channels, side, side) or tiles.dtype != np.float32:
            expected = f"(B, {self.channels}, {side}, {side}) float32"
            raise ValueError(f"tiles must be {expected}, got {tiles.shape} {tiles.dtype}")
        return self._graph(tiles)["restored"]

    def restore(self, image: NDArray[Any], progress: Progress | None = None) -> NDArray[np.float32]:
        """Restores an image (H, W) or (H, W, 3) to (s H, s W) or (s H, s W, 3), float32, not clipped.

        Sides shorter than a tile are padded by reflection, so that the network sees more than the image.

        Args:
            image: Values in 0..255, with as many channels as the network has.
            progress: Called with the number of tiles done and the total.

        Raises:
            ValueError: If the image has no pixels or other channels.
        """
        planes = channels_first(image)
        if len(planes) != self.channels:
            raise ValueError(f"image must have {self.channels} channel(s), got shape {image.shape}")
        return channels_last(run_in_tiles(self.run, planes, self.tiling, scale=self.scale, progress=progress))
