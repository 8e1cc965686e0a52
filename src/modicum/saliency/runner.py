"""Runs an exported saliency network with numpy, ONNX Runtime and Pillow alone: the reference for ports."""

# B batch, H W size of a picture in px, S side of the network's input in px
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.imaging.decoding import upright_rgb
from modicum.imaging.pictures import Source, read_pixels
from modicum.saliency.upsampling import enlarge

SYSTEM = "saliency"
DETAILS = ("image_px", "preprocessing")  # of the manifest


class OnnxSaliency:
    """An exported saliency network.

    Args:
        folder: What `modicum.saliency.export.export_saliency` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is not such an export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        self.image_px: int = manifest.details["image_px"]
        self._preprocessing: dict[str, Any] = manifest.details["preprocessing"]
        self._graph = GraphRunner(Path(folder), manifest.graphs["saliency"], threads=threads)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns maps (B, 1, S, S), in [0, 1], of normalised images (B, 3, S, S).

        Raises:
            ValueError: If the images are of another shape or type.
        """
        side = self.image_px
        if images.ndim != 4 or images.shape[1:] != (3, side, side) or images.dtype != np.float32:
            raise ValueError(f"images must be (B, 3, {side}, {side}) float32, got {images.shape} {images.dtype}")
        return self._graph(images)["saliency"]

    def prepare(self, picture: Image.Image) -> NDArray[np.float32]:
        """Returns the network's input (1, 3, S, S): upright, transparency laid on white, stretched, normalised.

        Pillow rounds to 8 bits after each direction, so pixels may differ by 1/255 from the training code's resize.

        Raises:
            BadImageError: If the picture is damaged, too large or has pixels without a known white level.
        """
        is_cubic = self._preprocessing.get("interpolation") == "bicubic"  # which an older export does not state
        kind = Image.Resampling.BICUBIC if is_cubic else Image.Resampling.BILINEAR
        small = upright_rgb(picture).resize((self.image_px, self.image_px), kind)
        pixels = np.asarray(small, np.float32).transpose(2, 0, 1)
        mean, std = (255 * np.array(self._preprocessing[key], np.float32)[:, None, None] for key in ("mean", "std"))
        batch: NDArray[np.float32] = ((pixels - mean) / std)[None]
        return batch

    def find(self, picture: Source) -> NDArray[np.uint8]:
        """Returns the mask (H, W) of one picture at its full size and upright, enlarged as ``modicum predict`` does.

        Raises:
            BadImageError: If the file is missing, or the picture cannot be used; see `prepare`.
        """
        pixels = read_pixels(picture)
        return enlarge(self.run(self.prepare(Image.fromarray(pixels)))[0, 0], pixels)
