"""Backbones by name: the small residual networks defined here, then torchvision's, then timm's.

The small ones follow He et al., *Deep Residual Learning for Image Recognition*, 2016, section 4.2; those whose name
ends in ``_pool`` have the shortcuts of Wu et al., *BlockDrop*, 2018, which average what the others skip.
"""

# B batch, C channels, H W pixels, K classes
import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import timm
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from modicum.storage.errors import RecipeError

ShortcutName = Literal["subsample", "pool"]


class SubsampleShortcut(nn.Module):
    """Every stride-th pixel, then zero channels before and after those of the input (option A)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Returns features (B, channels, H / stride, W / stride), rounded up."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding)) if self.padding else shortcut


class PoolShortcut(nn.Module):
    """The mean of each stride x stride window, then zero channels behind those of the input."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Returns features (B, channels, H / stride, W / stride), rounded up; edge windows average what they have."""
        shortcut = F.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
        return F.pad(shortcut, (0, 0, 0, 0, 0, self.padding)) if self.padding else shortcut


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters.

    Args:
        in_channels: Channels C of the input.
        channels: Channels of the output, at least as many; for ``"subsample"``, an even number more.
        stride: Stride of the first convolution.
        shortcut: How the input is fitted to the output: ``"subsample"`` skips pixels, ``"pool"`` averages them.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int, shortcut: ShortcutName = "subsample") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        make_shortcut = SubsampleShortcut if shortcut == "subsample" else PoolShortcut
        fits = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if fits else make_shortcut(in_channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features (B, channels, H / stride, W / stride), rounded up."""
        shortcut = self.shortcut(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class SmallResNet(nn.Module):
    """A residual network for small images: a 3x3 stem, stages of basic blocks that each halve the size, global pooling.

    Args:
        num_classes: Classes K.
        widths: Channels of each stage; each an even number of channels more than the one before.
        blocks: Basic blocks per stage.
        stem_stride: Stride of the stem: 1 for 32-pixel images, 2 for larger ones.
        stem_pool: Halve the maps once more by max pooling, as networks for photographs do.
        shortcut: How the first block of a later stage fits its input to its output; see `BasicBlock`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        stem_stride: int = 1,
        stem_pool: bool = False,
        shortcut: ShortcutName = "subsample",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stem_pool = nn.MaxPool2d(3, 2, 1) if stem_pool else nn.Identity()
        stages, in_channels = [], widths[0]
        for number, channels in enumerate(widths):
            strides = [1 if number == 0 else 2] + [1] * (blocks - 1)
            inputs = [in_channels] + [channels] * (blocks - 1)
            sizes = zip(inputs, strides, strict=True)
            stages.append(nn.Sequential(*(BasicBlock(c, channels, stride=s, shortcut=shortcut) for c, s in sizes)))
            in_channels = channels
        self.layers = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, K) of images (B, 3, H, W) of any size from about 8 pixels up."""
        x = self.layers(self.stem_pool(F.relu(self.bn1(self.conv1(images)))))
        logits: Tensor = self.linear(self.pool(x).flatten(1))
        return logits


def digit_resnet(num_classes: int) -> SmallResNet:
    """Builds the backbone for digits in scenes of about 48 px: stem of stride 2, blocks of 16, 32 and 64 channels."""
    return SmallResNet(num_classes, stem_stride=2)


def photo_resnet(num_classes: int) -> SmallResNet:
    """Builds a small backbone for photographs of 96 to 192 pixels: one block each of 32, 64, 128 and 256 channels."""
    return SmallResNet(num_classes, widths=(32, 64, 128, 256), stem_stride=2, stem_pool=True)


def slim_photo_resnet(num_classes: int) -> SmallResNet:
    """Builds `photo_resnet` with half the channels, which takes about a quarter of its multiply-adds."""
    return SmallResNet(num_classes, widths=(16, 32, 64, 128), stem_stride=2, stem_pool=True)


def photo_resnet18_pool(num_classes: int) -> SmallResNet:
    """Builds a backbone for photographs with blocks to drop: two blocks each of 16, 32, 64 and 128 channels."""
    return SmallResNet(num_classes, widths=(16, 32, 64, 128), blocks=2, stem_stride=2, stem_pool=True, shortcut="pool")


def cifar_resnet(
    num_classes: int, depth: int, *, widths: Sequence[int] = (16, 32, 64), shortcut: ShortcutName = "subsample"
) -> SmallResNet:
    """Builds the network of depth 6n + 2 for CIFAR: three stages of n blocks with 16, 32 and 64 channels.

    Published CIFAR weights use the ``"subsample"`` shortcut, the experiments of BlockDrop the ``"pool"`` one.

    Raises:
        ValueError: If ``depth`` is not 6n + 2.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"the depth of a CIFAR ResNet is 6n + 2 (8, 20, 32, ...), got {depth}")
    return SmallResNet(num_classes, widths=widths, blocks=blocks, shortcut=shortcut)


_DEPTHS = (8, 20, 32, 44, 56, 110)

SMALL: dict[str, Callable[[int], SmallResNet]] = {
    "digit_resnet": digit_resnet,
    "photo_resnet": photo_resnet,
    "slim_photo_resnet": slim_photo_resnet,
    "photo_resnet18_pool": photo_resnet18_pool,
    **{f"cifar_resnet{depth}": partial(cifar_resnet, depth=depth) for depth in _DEPTHS},
    **{f"cifar_resnet{depth}_pool": partial(cifar_resnet, depth=depth, shortcut="pool") for depth in _DEPTHS},
    # Half as wide: many blocks to choose from where the images are as simple as digits.
    **{
        f"slim_resnet{depth}_pool": partial(cifar_resnet, depth=depth, widths=(8, 16, 32), shortcut="pool")
        for depth in (20, 32)
    },
    # And on maps of half the size, for images that leave little time.
    "digit_resnet32_pool": partial(SmallResNet, widths=(8, 16, 32), blocks=5, stem_stride=2, shortcut="pool"),
}


def create_backbone(name: str, num_classes: int) -> nn.Module:
    """Builds an untrained classifier by its name here, in torchvision or in timm, in that order.

    Args:
        name: E.g. ``"digit_resnet"``, ``"resnet50"``, ``"mobilenet_v2"``, ``"regnety_002"``.
        num_classes: Classes K, as many as it has outputs.

    Raises:
        RecipeError: If the network is unknown; the message suggests close names.
    """
    if name in SMALL:
        return SMALL[name](num_classes)
    torchvision_names = torchvision.models.list_models(torchvision.models)
    if name in torchvision_names:
        network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        return network
    if timm.is_model(name):
        model: nn.Module = timm.create_model(name, num_classes=num_classes)
        return model
    close = difflib.get_close_matches(name, [*SMALL, *torchvision_names, *timm.list_models()], n=3)
    hint = (
        f"did you mean {' or '.join(close)}?" if close else "see torchvision.models.list_models(), timm.list_models()"
    )
    raise RecipeError(f"backbone {name!r} is not known: {hint}")
