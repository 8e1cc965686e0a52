"""Runs one backbone at several resolutions: shared weights, a normalisation and a price for each resolution."""

# B batch, R resolutions, K classes, S side of the full image in pixels
import copy
import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from modicum.classify.drnet.normalisation import (
    ResolutionNorm,
    ResolutionSwitch,
    ShortcutNorm,
    make_resolution_aware,
    without_switch,
)
from modicum.measuring.counting import UnknownCostError, count_macs
from modicum.nn.resizing import Kernel, Resize

_PROBED = 2  # images that a backbone is tried on: batch normalisation in training refuses a single value per channel


class SizedBackbone(NamedTuple):
    """Holds a backbone that runs full images (B, 3, S, S) at any of several resolutions; a view of a network's parts.

    Whoever runs it registers ``backbone`` and ``resize`` as modules.
    """

    backbone: nn.Module
    resize: nn.ModuleList  # (R,): shrinks full images to each resolution
    switch: ResolutionSwitch

    def at(self, images: Tensor, index: int) -> Tensor:
        """Returns logits (B, K) of full images, all run at resolution ``index``."""
        with self.switch.at(index):
            logits: Tensor = self.backbone(self.resize[index](images))
        return logits

    def at_every(self, images: Tensor) -> Tensor:
        """Returns logits (B, R, K) of every image at every resolution: R times the work."""
        return torch.stack([self.at(images, index) for index in range(len(self.resize))], dim=1)

    def static(self, index: int) -> nn.Module:
        """Returns a plain network, sharing nothing with this one, that runs full images at one resolution."""
        return nn.Sequential(copy.deepcopy(self.resize[index]), without_switch(self.backbone, index))


def make_sized(
    backbone: nn.Module, num_classes: int, resolutions: Sequence[int], *, shortcut_norm: ShortcutNorm, kernel: Kernel
) -> tuple[SizedBackbone, tuple[float, ...]]:
    """Adapts a copy of a classifier to several resolutions.

    Args:
        backbone: A classifier that ends in global pooling.
        num_classes: Classes K; must be what the backbone gives.
        resolutions: Sides in pixels, falling; see `check_resolutions`.
        shortcut_norm: Whether the batch normalisation of shortcuts exists per resolution, too.
        kernel: How images are shrunk.

    Returns:
        The backbone, and its multiply-adds at each resolution.

    Raises:
        ValueError: If the backbone cannot be served, or resolutions do not differ in cost; the message says why.
        UnknownCostError: If it has an operator whose cost is not known.
    """
    macs = tuple(map(float, check_backbone(backbone, num_classes, resolutions)))
    if len(set(macs)) < len(macs):
        raise ValueError(
            f"resolutions {tuple(resolutions)} include some that cost the same, because the backbone rounds them to "
            "maps of equal size: choose sides further apart"
        )
    switch, adapted = ResolutionSwitch(), copy.deepcopy(backbone)
    make_resolution_aware(adapted, len(resolutions), switch, shortcut_norm=shortcut_norm)
    if not any(isinstance(module, ResolutionNorm) for module in adapted.modules()):
        warnings.warn(
            f"backbone {type(backbone).__name__} has no batch normalisation, so nothing in it adapts to the "
            "resolution; expect smaller sizes to cost more accuracy",
            stacklevel=3,  # who builds the network that calls this
        )
    return SizedBackbone(adapted, nn.ModuleList(Resize(side, kernel) for side in resolutions), switch), macs


def check_backbone(backbone: nn.Module, num_classes: int, resolutions: Sequence[int]) -> tuple[int, ...]:
    """Refuses, with the reason, a network that cannot be run at several resolutions.

    Returns:
        The multiply-adds of an image at each resolution.

    Raises:
        ValueError: If the network pools to more than one position, fails at a resolution, or does not return plain
            logits for ``num_classes`` classes.
        UnknownCostError: If it has an operator whose cost is not known.
    """
    name = type(backbone).__name__
    for module in backbone.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size not in (1, (1, 1)):
            raise ValueError(
                f"backbone {name} cannot be served: it pools to {module.output_size} positions, which its head weighs "
                "one by one; a backbone must end in global pooling"
            )
    on_meta = copy.deepcopy(backbone).to("meta")
    # A pass takes half a second on MobileNetV2. What differs in training, such as further outputs, does so at any size.
    _check_logits(on_meta.train(), resolutions[0], name, num_classes)
    on_meta.eval()
    return tuple(count_macs(_check_logits, on_meta, side, name, num_classes) // _PROBED for side in resolutions)


def check_resolutions(resolutions: Sequence[int]) -> tuple[int, ...]:
    """Returns candidate resolutions as they are stored.

    Raises:
        ValueError: Unless they are at least two sides in pixels, falling.
    """
    falling = all(larger > smaller for larger, smaller in itertools.pairwise(resolutions))
    if len(resolutions) < 2 or not falling or resolutions[-1] < 1:
        raise ValueError(f"resolutions must be at least two sides in pixels, falling, got {tuple(resolutions)}")
    return tuple(int(side) for side in resolutions)


def _check_logits(backbone: nn.Module, side: int, name: str, num_classes: int) -> None:
    """Raises a ValueError unless the network, on the meta device, gives logits of ``num_classes`` classes."""
    try:
        with torch.no_grad():
            logits = backbone(torch.empty(_PROBED, 3, side, side, device="meta"))
    except UnknownCostError:
        raise
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # what networks raise on a size they refuse
        raise ValueError(f"backbone {name} cannot be served: at {side} px it fails with: {error}") from error
    if not isinstance(logits, Tensor) or logits.shape != (_PROBED, num_classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"backbone {name} cannot be served: for {_PROBED} images of {side} px it returns {found}, "
            f"not logits of shape ({_PROBED}, {num_classes})"
        )
