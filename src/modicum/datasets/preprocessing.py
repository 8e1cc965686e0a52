"""From a decoded picture to what a network gets: one description, used alike in training, evaluation and prediction."""
# B batch, H W picture size in px, S side of the crop in px

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from modicum.imaging.normalisation import check_normalisation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Crop = Literal["random_resized", "pad", "none"]
Interpolation = Literal["bilinear", "bicubic"]
Picture = Image.Image | NDArray[np.uint8] | Tensor
"""A PIL picture, an array (H, W, 3) uint8, or a tensor (3, H, W) uint8."""


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are cropped, augmented and normalised; `dataclasses.asdict` and ``Preprocessing(**d)`` are inverse.

    Attributes:
        size: Side of the square crop that the network gets, px.
        resize_short: Short side that a picture is resized to before the centre crop, px, at least ``size``; pictures
            that are ``size`` x ``size`` already are left as they are. See `default_resize_short`.
        mean: Mean per channel, in units of the full range [0, 1].
        std: Standard deviation per channel, in the same units, positive.
        flip: Whether training mirrors half of the pictures left to right.
        crop: How training varies the place: ``"random_resized"`` takes a random part of the picture, ``"pad"`` shifts
            it by up to an eighth of the size on a black ground, ``"none"`` takes the centre as evaluation does.
        min_scale: Smallest share of the picture's area that ``"random_resized"`` takes, in (0, 1].
        interpolation: Interpolation of resizing, with antialiasing: ``"bilinear"`` or ``"bicubic"``.
        trivial_augment: Whether training also changes each picture by one operation drawn at random, at a random
            strength (Mueller and Hutter, *TrivialAugment*, ICCV 2021).
    """

    size: int
    resize_short: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    flip: bool = True
    crop: Crop = "random_resized"
    min_scale: float = 0.35
    trivial_augment: bool = False
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON and YAML bring lists
        object.__setattr__(self, "std", tuple(self.std))
        if not 1 <= self.size <= self.resize_short:
            raise ValueError(f"1 <= size <= resize_short must hold, got size {self.size}, short {self.resize_short}")
        check_normalisation(self.mean, self.std)
        if self.crop not in get_args(Crop):
            raise ValueError(f"crop must be one of {', '.join(get_args(Crop))}, got {self.crop!r}")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation must be one of {', '.join(get_args(Interpolation))}, got {self.interpolation!r}"
            )
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale must be in (0, 1], got {self.min_scale}")

    def eval_transform(self) -> "ImageTransform":
        """Returns the resize of the short side (antialiased) and centre crop to a uint8 tensor (3, S, S)."""
        return ImageTransform((_CentreFit(self.size, self.resize_short, self.interpolation),), is_random=False)

    def train_transform(self) -> "ImageTransform":
        """Returns the augmentation, to a uint8 tensor (3, S, S); it draws from torch's global generator."""
        steps: list[Callable[[Tensor], Tensor]] = []
        if self.crop == "random_resized":
            kind, scale = v2.InterpolationMode(self.interpolation), (self.min_scale, 1.0)
            steps.append(v2.RandomResizedCrop(self.size, scale=scale, interpolation=kind, antialias=True))
        else:
            steps.append(_CentreFit(self.size, self.resize_short, self.interpolation))
        if self.crop == "pad":
            steps.append(v2.RandomCrop(self.size, padding=round(self.size / 8)))  # 4 px at 32, the CIFAR habit
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.trivial_augment:
            steps.append(v2.TrivialAugmentWide())
        return ImageTransform(tuple(steps), is_random=self.flip or self.trivial_augment or self.crop != "none")

    @property
    def training_detail(self) -> int:
        """Short side, px, beyond which a picture holds no detail that a training crop shows."""
        enlarged = self.size / math.sqrt(self.min_scale) if self.crop == "random_resized" else 0
        return math.ceil(max(enlarged, self.resize_short))

    def normalise(self, batch: Tensor) -> Tensor:
        """Normalises a batch; see `normalise`."""
        return normalise(batch, self.mean, self.std)


def normalise(batch: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Returns ``(x / 255 - mean) / std``, float32, of uint8 (B, 3, S, S), on the same device."""
    shift, scale = (255 * torch.tensor(values, device=batch.device).view(3, 1, 1) for values in (mean, std))
    return batch.to(torch.float32).sub_(shift).div_(scale)


def default_resize_short(size: int) -> int:
    """Returns the usual short side before a centre crop of ``size`` px: 256 for 224, otherwise in proportion."""
    return round(size * 256 / 224)


@final
class ImageTransform:
    """A chain of steps from a picture to a uint8 tensor (3, S, S).

    Attributes:
        is_random: Whether the result depends on torch's global generator.
    """

    def __init__(self, steps: tuple[Callable[[Tensor], Tensor], ...], *, is_random: bool) -> None:
        self._steps = steps
        self.is_random = is_random

    def __call__(self, picture: Picture) -> Tensor:
        """Returns the transformed picture, (3, S, S) uint8, contiguous, in its own memory."""
        tensor = to_tensor(picture)
        for step in self._steps:
            tensor = step(tensor)
        return tensor.clone(memory_format=torch.contiguous_format)


def to_tensor(picture: Picture) -> Tensor:
    """Converts a picture to a uint8 tensor (3, H, W); arrays and tensors are not copied, PIL pictures become RGB.

    Raises:
        ValueError: If an array is not (H, W, 3) uint8 or a tensor not (3, H, W) uint8.
    """
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8:
            raise ValueError(f"a tensor must be (3, H, W) uint8, got {tuple(picture.shape)} {picture.dtype}")
        return picture
    array = np.array(picture.convert("RGB")) if isinstance(picture, Image.Image) else picture
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"an array must be (H, W, 3) uint8, got {array.shape} {array.dtype}")
    writable = array if array.flags.writeable else array.copy()  # torch warns about memory that it must not write
    return torch.from_numpy(writable).permute(2, 0, 1)


def shrunk(picture: Picture, short: int) -> Tensor:
    """Reduces a picture to a uint8 tensor (3, H, W) with a short side of at most ``short`` px; small ones stay."""
    tensor = to_tensor(picture)
    if min(tensor.shape[-2:]) <= short:
        return tensor
    smaller: Tensor = F.resize(tensor, [short], antialias=True)
    return smaller


@dataclass(frozen=True)
class _CentreFit:
    """Resizes the short side and crops the centre, except where the picture has the size already."""

    size: int
    resize_short: int
    interpolation: Interpolation

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if height == width == self.size:
            return image
        # A strip of 1 x 100,000 px would grow to 25 million px before the crop: keep only what the crop can reach.
        limit = 4 * min(height, width)
        if max(height, width) > limit:
            image = F.center_crop(image, [min(height, limit), min(width, limit)])
        kind = v2.InterpolationMode(self.interpolation)
        image = F.resize(image, [self.resize_short], interpolation=kind, antialias=True)
        cropped: Tensor = F.center_crop(image, [self.size, self.size])
        return cropped
