"""Shares what the runners of all exported classifiers do, and what a port to another language has to do alike.

From an export to its graphs, from a picture to a network's input, and from its logits to an answer, with numpy, ONNX
Runtime and Pillow alone.
"""

# B batch, K classes, S side of the network's images in pixels
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.exporting.classifiers import read_knob
from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Source, read_upright
from modicum.prediction import Failure


class RunnerResult(NamedTuple):
    """What a run returns, in the order of its input."""

    logits: NDArray[np.float32]  # (B, K)
    routes: NDArray[Any]  # (B,) int64, indices of resolutions or exits, or (B, units) bool, which units are kept
    macs: NDArray[np.float64]  # (B,), multiply-adds executed for each image, the decision included


class Classified(NamedTuple):
    """What one picture is."""

    predicted: str  # name of the class
    probability: float  # of that class, in [0, 1]
    route: str  # what the route that it took is called
    cost: float  # share of the plain network's multiply-adds that it took, the decision included


class ExportedClassifier(ABC):
    """Opens an exported classifier, and classifies pictures with it; a runner adds how it runs images.

    Args:
        folder: The exported folder.
        system: Id of the system.
        needed: Entries that the manifest must have.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is not such an export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    _plain_macs: float  # multiply-adds of the plain network

    def __init__(self, folder: str | Path, system: str, needed: Collection[str], *, threads: int | None) -> None:
        manifest = read_manifest(folder, system=system, needed=needed)
        self._folder, self._graphs, self._threads = Path(folder), manifest.graphs, threads
        self._details = manifest.details
        self.classes: tuple[str, ...] = tuple(self._details["classes"])
        self.knob: float = read_knob(self._details, self._folder)
        self._preprocessing: dict[str, Any] = self._details["preprocessing"]
        self._side: int = self._preprocessing["size"]

    @abstractmethod
    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Classifies images (B, 3, S, S), normalised; ``knob`` is the exported one unless another is given."""

    @abstractmethod
    def name_route(self, result: RunnerResult) -> str:
        """Names the route of the first image of a result."""

    def classify(self, picture: Source, knob: float | None = None) -> Classified:
        """Returns the class of one picture, preprocessed as the network was trained.

        Args:
            picture: A path, the bytes of a file, a PIL image, or an array (H, W, 3) uint8.
            knob: As of `predict`.

        Raises:
            BadImageError: If the picture cannot be read or used.
            KnobError: If ``knob`` is not a finite number.
        """
        result = self.predict(read_input(picture, self._preprocessing), knob)
        return name_answer(result, classes=self.classes, route=self.name_route(result), plain_macs=self._plain_macs)

    def _load(self, role: str) -> GraphRunner:
        return GraphRunner(self._folder, self._graphs[role], threads=self._threads)


def open_picture(picture: Source) -> Image.Image:
    """Returns a picture upright, RGB and in 8 bit, whatever holds it; see `modicum.imaging.pictures.read_upright`.

    Raises:
        BadImageError: If it cannot be read or used; the message names the file.
    """
    try:
        return read_upright(picture)
    except BadImageError as error:
        if isinstance(picture, str | Path):
            raise BadImageError(str(Failure(str(picture), str(error)))) from error
        raise


def prepare_picture(image: Image.Image, preprocessing: Mapping[str, Any]) -> NDArray[np.float32]:
    """Returns the network's input (3, S, S): short side resized, centre cropped, normalised, as in evaluation.

    Pillow rounds to 8 bits after each direction, so pixels may differ by 1/255 from the training code's resize.

    Args:
        image: Any picture; it is made RGB.
        preprocessing: ``size`` and ``resize_short`` in pixels, ``mean`` and ``std`` per channel for the range [0, 1];
            ``interpolation``, "bilinear" where an older export does not say.
    """
    image, size, short = image.convert("RGB"), preprocessing["size"], preprocessing["resize_short"]
    if image.size != (size, size):
        limit = 4 * min(image.size)  # as in evaluation: of a long strip only what the crop can reach is resized
        image = _centre_crop(image, min(image.width, limit), min(image.height, limit))
        least = min(image.size)
        width, height = (int(short * side / least) for side in image.size)
        image = _centre_crop(image.resize((width, height), _resampling(preprocessing)), size, size)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)
    mean, std = (255 * np.array(preprocessing[key], np.float32)[:, None, None] for key in ("mean", "std"))
    normalised: NDArray[np.float32] = (pixels - mean) / std
    return normalised


def _resampling(preprocessing: Mapping[str, Any]) -> Image.Resampling:
    is_cubic = preprocessing.get("interpolation", "bilinear") == "bicubic"
    return Image.Resampling.BICUBIC if is_cubic else Image.Resampling.BILINEAR


def read_input(picture: Source, preprocessing: Mapping[str, Any]) -> NDArray[np.float32]:
    """Returns a batch (1, 3, S, S) of one picture; see `open_picture` and `prepare_picture`.

    Raises:
        BadImageError: If the picture cannot be read or used.
    """
    return prepare_picture(open_picture(picture), preprocessing)[None]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns probabilities (..., K) of logits (..., K), in double precision."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def name_answer(result: RunnerResult, *, classes: Sequence[str], route: str, plain_macs: float) -> Classified:
    """Returns the answer to the first image of ``result``.

    Args:
        result: The result for one image or more.
        classes: Name of each class.
        route: Name of that image's route.
        plain_macs: Multiply-adds of the plain network.
    """
    probabilities = softmax(result.logits[0])
    best = int(probabilities.argmax())
    return Classified(classes[best], float(probabilities[best]), route, float(result.macs[0] / plain_macs))


def check_images(images: NDArray[np.float32], side: int) -> None:
    """Raises a `ValueError` that names shape and type if ``images`` are not (B, 3, side, side) float32."""
    if images.ndim != 4 or images.shape[1:] != (3, side, side) or images.dtype != np.float32:
        expected = f"(B, 3, {side}, {side}) float32, normalised"
        raise ValueError(f"images must be {expected}, got {images.shape} {images.dtype}")


def check_routes(routes: NDArray[np.int64], num_images: int, num_routes: int) -> None:
    """Raises a `ValueError` unless ``routes`` are one number in [0, num_routes) per image."""
    if len(routes) != num_images or not np.isin(routes, range(num_routes)).all():
        raise ValueError(f"routes must be {num_images} numbers in [0, {num_routes}), got {routes}")


def run_groups(
    graphs: Sequence[Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]],
    images: NDArray[np.float32],
    routes: NDArray[np.int64],
    num_classes: int,
) -> NDArray[np.float32]:
    """Returns logits (B, K) of images, each by the graph of its route; graphs that no route asks for are not run.

    Raises:
        ValueError: If the routes are not one graph per image.
    """
    check_routes(routes, len(images), len(graphs))
    logits = np.empty((len(images), num_classes), np.float32)
    for route in np.unique(routes):
        rows = np.flatnonzero(routes == route)
        logits[rows] = graphs[route](images[rows])["logits"]
    return logits


def _centre_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
