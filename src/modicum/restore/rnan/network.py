"""Restores an image by residual groups, each of which gates its features by a mask that sees local or all positions.

Y. Zhang, K. Li, K. Li, B. Zhong, Y. Fu, *Residual Non-local Attention Networks for Image Restoration*, ICLR 2019.

As in the authors' code where the paper's figures say less: the mask branch adds its fine features to the coarse ones, a
group is an attention block and one convolution without a skip, and eight local groups are followed by one more.
Deviations: attention never holds the matrix of all pairs of positions, and is normalised over the sources, as the paper
has it, unless the weights of the authors' code, which normalises over the outputs, are to be used; the mean that
super-resolution subtracts is held still, while the authors' code trains it by oversight; values may be computed in the
range 0..1, in which small networks bear larger learning rates.
"""
# B batch, c channels of the image, C features, H W pixels of the input, s scale, N = H W positions

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from modicum.nn.attention import NonLocalBlock, Normalize, check_normalize

PEAK = 255.0  # images come and go in 0..255
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # RGB, of DIV2K, in [0, 1]


def conv3x3(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """Builds the convolution of this network: 3x3, padded by zeros, with bias."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3x3(features, features), nn.ReLU(inplace=True), conv3x3(features, features))

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the same shape, (B, C, H, W)."""
        residual: Tensor = self.body(x)
        return x + residual


class MaskBranch(nn.Module):
    """A gate for every feature at every position, in (0, 1): what half of the resolution sees decides.

    Args:
        features: C.
        non_local: A `NonLocalBlock` in front makes it the non-local mask branch; None is the local one.
    """

    def __init__(self, features: int, non_local: nn.Module | None = None) -> None:
        super().__init__()
        first = ResidualBlock(features)
        self.before = first if non_local is None else nn.Sequential(non_local, first)
        self.down = conv3x3(features, features, stride=2)
        self.within = nn.Sequential(ResidualBlock(features), ResidualBlock(features))
        self.up = nn.ConvTranspose2d(features, features, 6, stride=2, padding=2)  # doubles even sides exactly
        self.after = nn.Sequential(ResidualBlock(features), nn.Conv2d(features, features, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the mask (B, C, H, W) of features of that shape; H and W even."""
        fine = self.before(x)
        coarse = self.up(self.within(self.down(fine)))
        return torch.sigmoid(self.after(fine + coarse))


class AttentionBlock(nn.Module):
    """Trunk and mask branch: ``trunk(h) * mask(h) + h`` (residual attention), with residual blocks around.

    Args:
        features: C.
        non_local: See `MaskBranch`.
    """

    def __init__(self, features: int, non_local: nn.Module | None = None) -> None:
        super().__init__()
        self.before = ResidualBlock(features)
        self.trunk = nn.Sequential(ResidualBlock(features), ResidualBlock(features))
        self.mask = MaskBranch(features, non_local)
        self.after = nn.Sequential(ResidualBlock(features), ResidualBlock(features))

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the same shape, (B, C, H, W)."""
        h = self.before(x)
        attended: Tensor = self.after(self.trunk(h) * self.mask(h) + h)
        return attended


class RNAN(nn.Module):
    """Denoising, JPEG artifacts and demosaicing (scale 1), or super-resolution (scale 2, 3, 4).

    Args:
        channels: Of the image, 1 or 3; 3 for super-resolution.
        scale: Sides of the result over those of the input.
        features: C.
        local_groups: Groups with a local mask branch, between the first and the last group.
        non_local: Whether the mask branches of the first and the last group see all positions.
        normalize: See `modicum.nn.attention.attend`; the published weights need ``"outputs"``.
        value_range: White in the values that the network computes with; the published one is 255.

    Raises:
        ValueError: If an argument is none of those.

    Example:
        >>> network = RNAN(1, features=8, local_groups=1, non_local=False).eval()
        >>> network(torch.zeros(1, 1, 24, 24)).shape
        torch.Size([1, 1, 24, 24])
    """

    storage_name: ClassVar[str] = "rnan"
    size_multiple: ClassVar[int] = 2  # sides of inputs

    def __init__(
        self,
        channels: int,
        *,
        scale: int = 1,
        features: int = 64,
        local_groups: int = 8,
        non_local: bool = True,
        normalize: Normalize = "sources",
        value_range: float = PEAK,
    ) -> None:
        super().__init__()
        _check(channels, scale, value_range)
        check_normalize(normalize)
        self.channels, self.scale, self.features, self.value_range = channels, scale, features, value_range
        self._config = {
            "channels": channels,
            "scale": scale,
            "features": features,
            "local_groups": local_groups,
            "non_local": non_local,
            "normalize": normalize,
            "value_range": value_range,
        }

        def outer_group() -> nn.Sequential:
            seeing = NonLocalBlock(features, normalize=normalize) if non_local else None
            return nn.Sequential(AttentionBlock(features, seeing), conv3x3(features, features))

        def local_group() -> nn.Sequential:
            return nn.Sequential(AttentionBlock(features), conv3x3(features, features))

        self.head = conv3x3(channels, features)
        self.first = outer_group()
        self.middle = nn.Sequential(*(local_group() for _ in range(local_groups)), conv3x3(features, features))
        self.last = outer_group()
        self.tail = nn.Sequential(*_enlargement(features, scale), conv3x3(features, channels))
        mean = torch.tensor(DIV2K_MEAN if scale > 1 else (0.0,) * channels)
        self.register_buffer("mean", mean.view(1, channels, 1, 1), persistent=scale > 1)

    mean: Tensor  # (1, c, 1, 1), in [0, 1]

    def forward(self, image: Tensor) -> Tensor:
        """Returns restored images (B, c, s H, s W) of degraded ones (B, c, H, W), in 0..255, not clipped; H and W even.

        Raises:
            ValueError: If a side is odd.
        """
        if image.shape[2] % 2 or image.shape[3] % 2:
            raise ValueError(f"sides must be even, got {tuple(image.shape[2:])}: pad the image, or run it in tiles")
        unit = self.value_range / PEAK
        mean = self.mean * self.value_range
        x = image * unit - mean
        shallow = self.head(x)
        deep = self.last(self.middle(self.first(shallow)))
        restored: Tensor = self.tail(deep + shallow) if self.scale > 1 else x + self.tail(deep)
        return (restored + mean) / unit

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-adds of the convolutions per pixel of the input; attention takes 2 C N^2 more for each of two."""
        total = 0.0
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                total += module.weight.numel() * _outputs_per_pixel(name, module, self.scale)
        return total

    def macs(self, height: int, width: int) -> int:
        """Counts multiply-adds for an image of ``height`` by ``width`` pixels, run as a whole, attention included."""
        pixels = height * width
        layers = (module for module in self.modules() if isinstance(module, NonLocalBlock))
        attention = sum(2 * pixels**2 * layer.g.out_channels for layer in layers)
        return round(self.macs_per_pixel * pixels) + attention

    def storage_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return dict(self._config)


def rnan_denoising(channels: int = 1, *, normalize: Normalize = "sources") -> RNAN:
    """Builds the published network for noise (1 or 3 channels), JPEG (1) and mosaics (3): 9.0 M parameters."""
    return RNAN(channels, normalize=normalize)


def rnan_super_resolution(scale: int, *, normalize: Normalize = "sources") -> RNAN:
    """Builds the published network that enlarges colour images 2, 3 or 4 times: 9.1 to 9.3 M parameters."""
    return RNAN(3, scale=scale, normalize=normalize)


def _enlargement(features: int, scale: int) -> list[nn.Module]:
    """Builds sub-pixel convolutions that enlarge by ``scale``, 4 in two steps."""
    steps = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}[scale]
    layers: list[nn.Module] = []
    for step in steps:
        layers += [conv3x3(features, features * step**2), nn.PixelShuffle(step)]
    return layers


def _outputs_per_pixel(name: str, module: nn.Conv2d | nn.ConvTranspose2d, scale: int) -> float:
    """Returns how often a convolution's kernel is applied per pixel of the network's input."""
    if ".within." in name or name.endswith((".down", ".up")):
        return 0.25  # at half of the resolution; the transposed one is applied at each of its inputs
    if name.startswith("tail."):
        place = int(name.split(".")[1])  # in `_enlargement`, each step is a convolution and a shuffle
        steps = 0 if scale == 1 else (2 if scale == 4 else 1)
        step = 3 if scale == 3 else 2
        return float(step ** (2 * min(place // 2, steps)))
    return 1.0


def _check(channels: int, scale: int, value_range: float) -> None:
    if scale not in (1, 2, 3, 4):
        raise ValueError(f"scale must be 1, 2, 3 or 4, got {scale}")
    if channels not in (1, 3) or (scale > 1 and channels != 3):
        raise ValueError(f"channels must be 1 or 3, and 3 where the network enlarges, got {channels} at scale {scale}")
    if not (value_range > 0 and math.isfinite(value_range)):
        raise ValueError(f"value_range must be above 0, got {value_range}")
