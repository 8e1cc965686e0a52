"""From image and mask to what a network gets: one description for training, evaluation and prediction."""

# B batch, H W size of a picture in px, S side of the network's input in px
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image

from modicum.datasets.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Interpolation, normalise
from modicum.imaging.normalisation import check_normalisation
from modicum.saliency.data.sources import MaskedImage

_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are cropped, augmented and normalised; `dataclasses.asdict` and ``Preprocessing(**d)`` are inverse.

    Attributes:
        size: Side of the network's input, px; pictures are stretched to it, as is usual in the field.
        mean: Mean per channel, in units of the full range [0, 1].
        std: Standard deviation per channel, in the same units, positive.
        flip: Whether training mirrors half of the pictures left to right.
        min_scale: Smallest share of the picture's area that training takes, in (0, 1]; at 1 it takes all of it.
        jitter: How far training changes brightness, contrast and saturation, as a share in [0, 1).
        interpolation: Interpolation of resizing, with antialiasing: ``"bilinear"`` or ``"bicubic"``.
    """

    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    flip: bool = True
    min_scale: float = 0.75
    jitter: float = 0.1
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON and YAML bring lists
        object.__setattr__(self, "std", tuple(self.std))
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        check_normalisation(self.mean, self.std)
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation must be bilinear or bicubic, got {self.interpolation!r}")

    def normalise(self, batch: Tensor) -> Tensor:
        """Normalises a batch; see `modicum.datasets.preprocessing.normalise`."""
        return normalise(batch, self.mean, self.std)


class PairTransform:
    """Image and mask to uint8 tensors (3, S, S) and (1, S, S).

    Both are moved as the four channels of one picture, so that what is drawn for the one holds for the other, and so
    that the mask keeps soft values at edges (torchvision's own handling of masks takes the nearest pixel).

    Args:
        preprocessing: What to do.
        is_random: Augment as in training; draws from torch's global generator.
    """

    def __init__(self, preprocessing: Preprocessing, *, is_random: bool) -> None:
        size, self.is_random = preprocessing.size, is_random
        kind = v2.InterpolationMode(preprocessing.interpolation)
        moves: list[torch.nn.Module] = []
        if is_random and preprocessing.min_scale < 1:
            scale = (preprocessing.min_scale, 1.0)
            moves.append(v2.RandomResizedCrop(size, scale, _ASPECT, interpolation=kind, antialias=True))
        else:
            moves.append(v2.Resize((size, size), interpolation=kind, antialias=True))
        if is_random and preprocessing.flip:
            moves.append(v2.RandomHorizontalFlip())
        self._move = v2.Compose(moves)
        jitter = preprocessing.jitter if is_random else 0.0
        self._colour = v2.ColorJitter(jitter, jitter, jitter) if jitter else None

    def __call__(self, pair: MaskedImage) -> tuple[Tensor, Tensor]:
        """Returns image (3, S, S) and mask (1, S, S), uint8, in memory of their own."""
        both = np.concatenate([pair.pixels, pair.mask[..., None]], axis=2)
        moved = self._move(Image(torch.from_numpy(both).permute(2, 0, 1)))
        image, mask = moved[:3], moved[3:]
        if self._colour is not None:
            image = self._colour(Image(image))
        return _plain(image), _plain(mask)


def to_input(pixels: NDArray[np.uint8], size: int, interpolation: Interpolation = "bilinear") -> Tensor:
    """Stretches a picture (H, W, 3) to the network's input size, (3, S, S) uint8."""
    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
    return _plain(F.resize(image, [size, size], v2.InterpolationMode(interpolation), antialias=True))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor).clone(memory_format=torch.contiguous_format)
