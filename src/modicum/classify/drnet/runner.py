"""Runs an exported DRNet with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds a graph that scores the resolutions, one graph per resolution, and a manifest that says how to
feed them. Images go in at full size; every graph shrinks them itself.
"""

# B batch, n images of one group, R resolutions, K classes, S side of the full image in pixels
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.storage.errors import DataError

SYSTEM = "drnet"
PREDICTOR = "predictor"  # the role of the graph that scores; the others are named like the routes
DETAILS = ("classes", "costs", "decision", "knob", "preprocessing", "resolutions")  # of the manifest
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # among Pillow's others are some that start programs


class RunnerResult(NamedTuple):
    """What a run returns, in the order of its input."""

    logits: NDArray[np.float32]  # (B, K)
    routes: NDArray[np.int64]  # (B,), indices of resolutions
    macs: NDArray[np.float64]  # (B,), multiply-adds executed for each image, the decision included


class Classified(NamedTuple):
    """What one picture is."""

    predicted: str  # name of the class
    probability: float  # of that class, in [0, 1]
    route: str  # what its resolution is called
    cost: float  # share of the plain network's multiply-adds that it took, the decision included


class OnnxDRNet:
    """An exported DRNet.

    Args:
        folder: What `modicum.classify.drnet.export.export_drnet` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is no such export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        details = manifest.details
        self.classes: tuple[str, ...] = tuple(details["classes"])
        self.knob: float = details["knob"]
        self.labels: tuple[str, ...] = tuple(details["costs"]["labels"])
        self._side: int = details["resolutions"][0]
        self._preprocessing: dict[str, Any] = details["preprocessing"]
        self._relative_costs = np.array(details["decision"]["relative_costs"], np.float64)
        self._decision_macs: float = details["costs"]["decision"]
        self._route_macs = np.array(details["costs"]["per_route"], np.float64)
        self._predictor = GraphRunner(Path(folder), manifest.graphs[PREDICTOR], threads=threads)
        self._backbones = [GraphRunner(Path(folder), manifest.graphs[label], threads=threads) for label in self.labels]

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities (B, R) that the predictor gives to the resolutions; no graph is run on an empty batch."""
        self._check_images(images)
        if not len(images):
            return np.empty((0, len(self.labels)), np.float32)
        return self._predictor(images)["scores"]

    def decide(self, scores: NDArray[np.float32], knob: float | None = None) -> NDArray[np.int64]:
        """Routes (B,): argmax_j (log pi_j - knob C_j / C_max), in double precision; of routes that tie, the first."""
        knob = self.knob if knob is None else knob
        worth = scores.astype(np.float64) - knob * self._relative_costs
        routes: NDArray[np.int64] = worth.argmax(axis=1)
        return routes

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (B, K) of each image at its resolution; only the graphs of resolutions that occur are run."""
        self._check_images(images)
        if len(routes) != len(images) or not np.isin(routes, range(len(self.labels))).all():
            raise ValueError(f"routes must be {len(images)} numbers in [0, {len(self.labels)}), got {routes}")
        logits = np.empty((len(images), len(self.classes)), np.float32)
        for route in np.unique(routes):
            rows = np.flatnonzero(routes == route)
            logits[rows] = self._backbones[route](images[rows])["logits"]
        return logits

    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Decides and runs.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: 0 is the paper's decision, a higher one is cheaper; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        routes = self.decide(self.scores(images), knob)
        return RunnerResult(self.run(images, routes), routes, self._route_macs[routes] + self._decision_macs)

    def classify(self, picture: str | Path | Image.Image, knob: float | None = None) -> Classified:
        """The class of one picture, a path or a PIL image, preprocessed as the network was trained.

        Raises:
            DataError: If the file is missing or is not a picture.
        """
        image = picture if isinstance(picture, Image.Image) else open_picture(Path(picture))
        result = self.predict(prepare_picture(image, self._preprocessing)[None], knob)
        odds = np.exp(result.logits[0].astype(np.float64) - result.logits[0].max())
        best = int(odds.argmax())
        return Classified(
            predicted=self.classes[best],
            probability=float(odds[best] / odds.sum()),
            route=self.labels[result.routes[0]],
            cost=float(result.macs[0] / self._route_macs.max()),
        )

    def _check_images(self, images: NDArray[np.float32]) -> None:
        if images.ndim != 4 or images.shape[1:] != (3, self._side, self._side) or images.dtype != np.float32:
            expected = f"(B, 3, {self._side}, {self._side}) float32, normalised"
            raise ValueError(f"images must be {expected}, got {images.shape} {images.dtype}")


def open_picture(path: Path) -> Image.Image:
    """The picture in a file, upright and RGB; transparent pixels are laid on white.

    Raises:
        DataError: If the file is missing, is not a picture, or has more than 8 bits per channel.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits per channel: convert it to 8 bits")
            if not image.has_transparency_data:
                return image.convert("RGB")
            layer = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path") from error
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:  # what Pillow raises on damaged files
        raise DataError(f"{path} is not a picture that can be read: {error}") from error


def prepare_picture(image: Image.Image, preprocessing: Mapping[str, Any]) -> NDArray[np.float32]:
    """The network's input (3, S, S): short side resized, centre cropped, normalised, as in the wing's evaluation.

    Pillow rounds to 8 bits after each direction, so pixels may differ by 1/255 from the training code's resize.

    Args:
        image: Any picture; it is made RGB.
        preprocessing: ``size`` and ``resize_short`` in pixels, ``mean`` and ``std`` per channel for the range [0, 1].
    """
    image, size, short = image.convert("RGB"), preprocessing["size"], preprocessing["resize_short"]
    if image.size != (size, size):
        limit = 4 * min(image.size)  # as in evaluation: of a long strip only what the crop can reach is resized
        image = _centre_crop(image, min(image.width, limit), min(image.height, limit))
        least = min(image.size)
        width, height = (int(short * side / least) for side in image.size)
        image = _centre_crop(image.resize((width, height), Image.Resampling.BILINEAR), size, size)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)
    mean, std = (255 * np.array(preprocessing[key], np.float32)[:, None, None] for key in ("mean", "std"))
    normalised: NDArray[np.float32] = (pixels - mean) / std
    return normalised


def _centre_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
