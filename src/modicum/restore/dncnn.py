"""A plain convolutional network for restoration: what a report's other networks must beat at equal multiply-adds.

Zhang, Zuo, Chen, Meng, Zhang: *Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising*, IEEE TIP
2017 (DnCNN). Convolutions of 3x3 pixels in a row, batch normalisation in all but the first and the last, and a residual
that is added to the input. Beyond the paper: the last convolution may enlarge (sub-pixel convolution), the residual
then being added to the bicubic enlargement, so that the same baseline serves super-resolution.
"""
# B batch, c channels of the image, H W pixels of the input, s scale

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

KERNEL_TAPS = 9
PEAK = 255.0


class DnCNN(nn.Module):
    """Restores images by a chain of convolutions.

    Args:
        channels: Of the image, 1 or 3.
        features: Channels of the hidden layers; the paper has 64.
        depth: Number of convolutions, at least 2; the paper has 17 for one noise level and 20 for several tasks.
        scale: Sides of the result over those of the input.

    Raises:
        ValueError: If the depth is below 2.
    """

    storage_name: ClassVar[str] = "dncnn"

    def __init__(self, channels: int, features: int = 64, *, depth: int = 17, scale: int = 1) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth must be at least 2, the first and the last convolution, got {depth}")
        self.channels, self.features, self.depth, self.scale = channels, features, depth, scale
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(features, features, 3, padding=1, bias=False),
                nn.BatchNorm2d(features),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(features, channels * scale**2, 3, padding=1))
        self.residual = nn.Sequential(*layers)
        self.enlarge = nn.PixelShuffle(scale)

    def forward(self, image: Tensor) -> Tensor:
        """Returns restored images (B, c, s H, s W) of degraded ones (B, c, H, W), not clipped."""
        residual: Tensor = self.enlarge(self.residual(image))
        if self.scale > 1:
            image = F.interpolate(image, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return image + residual

    def storage_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"channels": self.channels, "features": self.features, "depth": self.depth, "scale": self.scale}

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-adds of the convolutions per pixel of the input."""
        return _macs_per_pixel(self.channels, self.features, self.depth, self.scale)


class UnitRange(nn.Module):
    """A `DnCNN`, which computes in 0..1, for images in 0..255."""

    def __init__(self, network: DnCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Returns restored images (B, c, s H, s W) of degraded ones (B, c, H, W), both in 0..255."""
        restored: Tensor = self.network(image / PEAK) * PEAK
        return restored

    @property
    def macs_per_pixel(self) -> float:
        """See `DnCNN.macs_per_pixel`."""
        return self.network.macs_per_pixel


def dncnn_of_cost(channels: int, macs_per_pixel: float, *, depth: int = 17, scale: int = 1) -> DnCNN:
    """Builds the widest `DnCNN` of a depth within a budget of multiply-adds per pixel of the input.

    Args:
        channels: Channels of the image, 1 or 3.
        macs_per_pixel: The budget, such as another network's cost.
        depth: Number of convolutions, at least 2.
        scale: Sides of the result over those of the input.

    Raises:
        ValueError: If the budget is below the cost of one hidden channel, or the depth is below 2.
    """
    square = KERNEL_TAPS * max(depth - 2, 0)
    line = KERNEL_TAPS * channels * (1 + scale**2)  # first and last convolution, per hidden channel
    if square:  # square * f**2 + line * f = budget
        features = math.floor((math.sqrt(line**2 + 4 * square * macs_per_pixel) - line) / (2 * square) + 1e-9)
    else:
        features = math.floor(macs_per_pixel / line)
    if features < 1:
        least = _macs_per_pixel(channels, 1, depth, scale)
        raise ValueError(f"{macs_per_pixel:g} multiply-adds per pixel are too few: one hidden channel costs {least:,}")
    return DnCNN(channels, features, depth=depth, scale=scale)


def _macs_per_pixel(channels: int, features: int, depth: int, scale: int) -> int:
    return KERNEL_TAPS * features * (channels * (1 + scale**2) + (depth - 2) * features)
