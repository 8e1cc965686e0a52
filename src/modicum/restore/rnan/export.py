"""Writes a trained RNAN as one ONNX graph that runs without PyTorch, and proves that it answers alike."""

# B batch, c channels, T side of a tile in px, H W size of an image in px, s scale
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import check_parity
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Written, write_export
from modicum.nn.tiling import Tiling, run_tiled
from modicum.restore.inference import FEATHER
from modicum.restore.pixels import Bytes, channels_first, channels_last
from modicum.restore.rnan.network import PEAK, RNAN
from modicum.restore.rnan.runner import SYSTEM, OnnxRNAN
from modicum.restore.task import Task
from modicum.storage.files import JSON


def export_rnan(network: RNAN, folder: str | Path, *, task: Task, tile: int, halo: int) -> Path:
    """Writes the graph and the manifest that `OnnxRNAN` runs, in single precision, and checks them.

    The graph is of one tile, whose side is part of the model: attention sees what is in a tile. The batch is free. With
    attention over the sources, ONNX Runtime holds the matrix of all pairs of a tile's positions, twice: a tile of 96
    pixels takes 686 MiB at its peak.

    The folder appears when all is written and the graph has given what the network gives, to 1e-4 of the range, for
    tiles and for an image of odd size. An earlier export in its place is replaced. ``network`` is not changed. Returns
    the folder.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        task: What the network undoes.
        tile: Side of the tiles, in pixels of the input, even.
        halo: What is thrown away at each inner side.

    Raises:
        ValueError: If the tile is too small for its halo, or the network has other channels or another scale than the
            task.
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the network cannot be exported, its export answers differently, or the folder holds other files.
    """
    if (network.channels, network.scale) != (task.channels, task.scale):
        raise ValueError(
            f"task {task.name!r} needs {task.channels} channel(s) at scale {task.scale}, but the network is for "
            f"{network.channels} at scale {network.scale}"
        )
    tiling = Tiling(tile, halo, FEATHER, multiple=network.size_multiple, is_fixed=True)

    def write(plain: RNAN, new: Path) -> Written:
        samples = sample_tiles(network.channels, tile)[:2]
        graph = export_graph(plain, (samples,), new / "rnan.onnx", input_names=["degraded"], output_names=["restored"])
        return Written({"restoration": graph})

    details = _details(task, tiling)
    return write_export(network, folder, details, system=SYSTEM, write=write, check=check_export, unit="of the range")


def _details(task: Task, tiling: Tiling) -> dict[str, JSON]:
    channels, scale, tile = task.channels, task.scale, tiling.tile
    return {
        "task": asdict(task),
        "degraded": {"shape": ["batch", channels, tile, tile], "dtype": "float32", "range": [0, 255]},
        "restored": {
            "shape": ["batch", channels, scale * tile, scale * tile],
            "dtype": "float32",
            "range": [0, 255],
            "is_clipped": False,
        },
        "channels": channels,
        "scale": scale,
        "tile": tile,
        "halo": tiling.halo,
        "feather": tiling.feather,
        "multiple": tiling.multiple,
    }


@torch.inference_mode()
def check_export(network: RNAN, folder: str | Path) -> float:
    """Returns the largest difference, over 255, of a network on the CPU and its export; `ExportError` above 1e-4."""
    runner = OnnxRNAN(folder, threads=1)
    tiles = sample_tiles(network.channels, runner.tiling.tile)
    image = sample_image(network.channels, runner.tiling.tile)
    whole = run_tiled(network, channels_first(image), runner.tiling, scale=network.scale)
    expected = {"tiles": network(tiles).numpy(), "image": channels_last(whole)}
    found = {"tiles": runner.run(tiles.numpy()), "image": runner.restore(image)}
    return check_parity(
        {name: values / PEAK for name, values in expected.items()},
        {name: values / PEAK for name, values in found.items()},
    )


def sample_tiles(channels: int, side: int) -> Tensor:
    """Makes three fixed tiles (3, c, T, T) in 0..255: noise, a ramp and white."""
    return (sample_images(side)[0:6:2, :channels] * 64 + 128).clamp(0, PEAK)


def sample_image(channels: int, side: int) -> Bytes:
    """Makes a fixed image of odd sides, wider than one tile and lower: noise on steps."""
    generator = np.random.default_rng(0)
    height, width = side // 2 | 1, side + 7
    steps = np.repeat(generator.integers(0, 256, (height, -(-width // 8), channels)), 8, axis=1)[:, :width]
    noisy = steps + generator.normal(0, 25, steps.shape)
    image = np.clip(noisy, 0, PEAK).astype(np.uint8)
    return image[..., 0] if channels == 1 else image
