"""A plain U-Net for saliency: what the report's network must beat at equal multiply-adds.

O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image Segmentation*, MICCAI 2015,
with what is usual today: padded convolutions, batch normalisation, and bilinear enlargement in place of the transposed
convolution, so that any size of image works.
"""

# B batch, H W pixels, F channels of the finest level
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from modicum.saliency.network import SideLogits, resize

LEVELS = 4  # maps of 1, 1/2, 1/4 and 1/8 of the sides, the channels doubling from each to the next


class UNet(nn.Module):
    """From images (B, 3, H, W) of any size to saliency.

    Args:
        width: Channels F of the finest level, at least 1.

    Raises:
        ValueError: If the width is below 1.
    """

    storage_name: ClassVar[str] = "unet"

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.width = width
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(_double(inputs, own) for inputs, own in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(_double(fine + coarse, fine) for fine, coarse in pairwise(widths))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> SideLogits:
        """Returns the logits of its one output."""
        maps = [self.down[0](images)]
        for block in self.down[1:]:
            maps.append(block(self.pool(maps[-1])))
        joined = maps.pop()
        for fine, block in zip(reversed(maps), reversed(self.up), strict=True):
            joined = block(torch.cat([fine, resize(joined, fine)], dim=1))
        return SideLogits((self.last(joined),))

    def saliency(self, images: Tensor) -> Tensor:
        """Returns the prediction (B, 1, H, W), in [0, 1]."""
        logits: SideLogits = self(images)
        return logits.finest.sigmoid()

    def storage_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"width": self.width}


def unet_of_cost(macs: float, image_px: int) -> UNet:
    """Returns the widest U-Net within a budget of multiply-adds for an image.

    Args:
        macs: The budget, such as another network's cost.
        image_px: Side of the image.

    Raises:
        ValueError: If the budget is too small for one channel.
    """
    if (least := unet_macs(1, image_px)) > macs:
        raise ValueError(f"{macs:,.0f} multiply-adds are too few for a U-Net: one channel takes {least:,}")
    width = 1
    while unet_macs(width + 1, image_px) <= macs:  # some dozens of sums at most
        width += 1
    return UNet(width)


def unet_macs(width: int, image_px: int) -> int:
    """Counts the multiply-adds of a U-Net's convolutions for an image of ``image_px`` pixels a side."""
    total, inputs, side = 0, 3, image_px
    for level in range(LEVELS):
        own = width * 2**level
        total += side**2 * 9 * own * (inputs + own)
        if level < LEVELS - 1:  # on the way up: the level's maps and those of the next coarser one
            total += side**2 * 9 * own * (own + 2 * own + own)
        inputs, side = own, -(-side // 2)
    return total + image_px**2 * width


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
