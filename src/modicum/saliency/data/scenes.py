"""The embedded default: procedural scenes, composed of pieces of real photographs, with exact masks.

One or two objects, cut out of other photographs by smooth random outlines, lie on a random piece of a photograph. The
photographs come with scikit-image and scikit-learn; no photograph serves in two parts. Figures on such scenes say
whether everything works, and nothing about photographs.
"""

# N scenes, S side of a scene in px, H W size of a photograph in px
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from modicum.datasets.contents import content_digest, sample_digest
from modicum.datasets.sources import PARTS, Part, Record
from modicum.saliency.data.sources import MaskedImage, PairSource
from modicum.storage.errors import DataError, MissingExtraError

PHOTOGRAPHS: dict[Part, tuple[str, ...]] = {
    "train": ("astronaut", "coffee", "hubble_deep_field", "retina", "immunohistochemistry", "brick", "gravel", "coins"),
    "calibration": ("rocket", "camera", "grass"),
    "test": ("chelsea", "china.jpg", "flower.jpg", "moon"),
}
"""Photographs of each part: names of scikit-image's ``data``, and of scikit-learn's sample images (``.jpg``)."""

SMALLEST_SIDE = 32
_LONG_SIDE = 512  # larger photographs are reduced, so that pieces show things and not pixels
_RADIUS = (0.14, 0.3)  # of an object, in sides of the scene
_HARMONICS = np.arange(2, 7)
_ROUGHNESS = 0.3  # amplitude of the second harmonic of an outline, in radii; it falls with the number
_PIECE = (0.35, 1.0)  # side of a piece, in short sides of its photograph
_CONTRAST = (0.6, 1.2)
_BRIGHTNESS = 40.0  # greatest shift, of 255
_TINT = 0.25  # greatest change of a channel's gain


@final
class ProceduralScenes(PairSource):
    """Scenes that are drawn when they are asked for: scene i depends on the seed and on i alone.

    Args:
        side: Height and width of a scene, px; at least 32.
        seed: The same seed gives the same scenes.
        sizes: Number of train, calibration and test scenes.

    Raises:
        DataError: If the side is too small or a part is empty.
        MissingExtraError: If scikit-image is not installed.
    """

    def __init__(self, side: int = 96, seed: int = 0, sizes: tuple[int, int, int] = (800, 100, 200)) -> None:
        if side < SMALLEST_SIDE or min(sizes) < 1:
            raise DataError(f"scenes need side >= {SMALLEST_SIDE} and at least one per part, got {side}, {sizes}")
        _skimage_data()  # says what to install now, not at the first scene
        self._side, self._seed = side, seed
        self.origin = "embedded:procedural-scenes"
        self.name = (
            f"procedural scenes, composed of pieces of photographs from scikit-image and scikit-learn, "
            f"{side}x{side} px, seed {seed}"
        )
        self.records = tuple(
            Record(f"{part}/{number:05d}", part)
            for part, size in zip(PARTS, sizes, strict=True)
            for number in range(size)
        )

    def pair(self, index: int) -> MaskedImage:
        """Returns a scene and its mask, the exact coverage of each pixel by objects; see `PairSource.pair`."""
        part = self.records[index].split or "train"
        return draw_scene(PHOTOGRAPHS[part], np.random.default_rng((self._seed, index)), self._side)

    def digest(self, index: int) -> str:
        """Returns the digest of the image; see `PairSource.digest`."""
        return content_digest(self.pair(index).pixels.tobytes())

    def content(self, index: int) -> str:
        """Returns the digest of image and mask; see `PairSource.content`."""
        pair = self.pair(index)
        return sample_digest(pair.pixels.tobytes(), pair.mask.tobytes())


class _Object(NamedTuple):
    """An outline: the radius over the angle, around a centre, in px."""

    centre: NDArray[np.float64]  # (2,), y and x
    radius: float
    amplitudes: NDArray[np.float64]  # of each harmonic, in radii
    phases: NDArray[np.float64]

    def coverage(self, side: int) -> NDArray[np.float64]:
        """Returns the share of each pixel that lies inside, (S, S), in [0, 1]; blurred over a pixel at the outline."""
        down, right = np.meshgrid(*(np.arange(side) + 0.5 - centre for centre in self.centre), indexing="ij")
        waves = np.cos(_HARMONICS * np.arctan2(down, right)[..., None] + self.phases) @ self.amplitudes
        outline = self.radius * (1 + waves)
        return np.asarray(np.clip(0.5 + outline - np.hypot(down, right), 0, 1))


def draw_scene(names: tuple[str, ...], rng: np.random.Generator, side: int) -> MaskedImage:
    """Draws a scene (S, S) from pieces of the named photographs, with the coverage of its objects as mask."""
    order = rng.permutation(len(names))
    canvas = _piece(photograph(names[order[0]]), rng, side)
    mask = np.zeros((side, side))
    for place in range(1 + int(rng.random() < 0.3)):
        inside = _draw_object(rng, side).coverage(side)
        inner = _piece(photograph(names[order[1 + place]]), rng, side)
        canvas = canvas + inside[..., None] * (inner - canvas)
        mask = np.maximum(mask, inside)
    return MaskedImage(np.rint(canvas.clip(0, 255)).astype(np.uint8), np.rint(255 * mask).astype(np.uint8))


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """Loads a photograph as RGB, (H, W, 3), its long side at most 512 px.

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    pixels = load_sample_image(name) if name.endswith(".jpg") else getattr(_skimage_data(), name)()
    picture = Image.fromarray(pixels).convert("RGB")
    picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
    return np.array(picture)


def _draw_object(rng: np.random.Generator, side: int) -> _Object:
    radius = side * rng.uniform(*_RADIUS)
    return _Object(
        centre=rng.uniform(0.8 * radius, side - 0.8 * radius, 2),
        radius=radius,
        amplitudes=_ROUGHNESS * rng.uniform(0, 1, len(_HARMONICS)) / (_HARMONICS - 1),
        phases=rng.uniform(0, 2 * np.pi, len(_HARMONICS)),
    )


def _piece(pixels: NDArray[np.uint8], rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Draws a random square of a photograph at the scene's size, (S, S, 3), perhaps mirrored, its colours changed."""
    height, width = pixels.shape[:2]
    extent = rng.uniform(*_PIECE) * min(height, width)
    top, left = rng.uniform(0, height - extent), rng.uniform(0, width - extent)
    box = (left, top, left + extent, top + extent)
    piece = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, box), np.float64)
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    gain = rng.uniform(*_CONTRAST) * rng.uniform(1 - _TINT, 1 + _TINT, 3)
    mean = piece.mean(axis=(0, 1))
    return np.asarray((mean + gain * (piece - mean) + rng.uniform(-_BRIGHTNESS, _BRIGHTNESS, 3)).clip(0, 255))


def _skimage_data() -> ModuleType:
    try:
        return import_module("skimage.data")
    except ImportError as error:
        raise MissingExtraError("scikit-image", "saliency") from error
