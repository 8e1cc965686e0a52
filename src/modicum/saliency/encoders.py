"""Encoders: what turns an image into feature maps at falling resolution, from timm or small and from scratch."""

# B batch, H W pixels, L levels, finest first
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from modicum.nn.published import timm_file
from modicum.saliency.recurrent import ConvNormRelu
from modicum.storage.errors import WeightsError, first_few
from modicum.storage.states import read_state

SMALL = "small"
SMALL_WIDTHS = (16, 24, 48, 96)
LEVELS = 5  # of timm's networks that are used; VGG's sixth is a pooling of the fifth
_MAX_NAMED = 3  # tensors that a message names; the rest is counted


class SmallEncoder(nn.Module):
    """Two conv-BN-ReLU per level, maxima over 2x2 pixels between levels: strides 1, 2, 4, ...

    Args:
        widths: Channels of each level, finest first.
    """

    def __init__(self, widths: Sequence[int] = SMALL_WIDTHS) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(ConvNormRelu(before, width), ConvNormRelu(width, width))
            for before, width in zip(inputs, widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.channels = tuple(widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns features, finest first, of images (B, 3, H, W)."""
        features = [self.levels[0](images)]
        for level in self.levels[1:]:
            features.append(level(self.pool(features[-1])))
        return features


class TimmEncoder(nn.Module):
    """The first five levels of a network of timm.

    Args:
        name: A model of timm that gives features, e.g. ``"vgg16"``, ``"resnet50"``, ``"mobilenetv3_large_100"``.
        pretrained: Start from the weights that timm knows for it, from the file that `timm_file` names,
            where there is one, from timm's cache, or from the hub.
        checkpoint: Start from this file instead: all tensors of that model in timm's own layout.

    Raises:
        ValueError: If timm does not know the name, or it has fewer than three levels.
        WeightsError: If the file is missing, unreadable, or lacks tensors of the model.
    """

    def __init__(self, name: str, *, pretrained: bool = False, checkpoint: str | Path | None = None) -> None:
        super().__init__()
        if checkpoint is None and pretrained and timm_file(name).exists():
            checkpoint = timm_file(name)
        source = None
        if checkpoint is not None:
            check_checkpoint(name, checkpoint)
            source = {"file": str(checkpoint)}
        try:
            self.features = timm.create_model(
                name,
                pretrained=pretrained or checkpoint is not None,
                pretrained_cfg_overlay=source,
                features_only=True,
                out_indices=_level_indices(name),
            )
        except (RuntimeError, AttributeError) as error:  # what timm raises for unknown names, and without features
            raise ValueError(f"encoder {name!r} cannot be used: {error}") from error
        self.channels = _widths(self.features)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns features, finest first, of images (B, 3, H, W)."""
        features: list[Tensor] = self.features(images)
        return features


def create_encoder(name: str, *, pretrained: bool = False, checkpoint: str | Path | None = None) -> nn.Module:
    """Creates an encoder by name: ``"small"``, or a model of timm; its ``channels`` are the width of each level.

    Raises:
        ValueError: If there is none of that name, or ``"small"`` is asked for with weights.
        WeightsError: If a checkpoint cannot be used.
    """
    if name != SMALL:
        return TimmEncoder(name, pretrained=pretrained, checkpoint=checkpoint)
    if pretrained or checkpoint is not None:
        raise ValueError("the encoder 'small' has no pretrained weights: take one of timm's")
    return SmallEncoder()


def check_checkpoint(name: str, checkpoint: str | Path) -> None:
    """Raises WeightsError if a file lacks tensors of the model ``name``: timm would go on with random ones.

    Raises:
        WeightsError: If the file is missing or unreadable, or a tensor is missing in it or has another shape.
    """
    found = {key: tuple(value.shape) for key, value in read_state(checkpoint).items()}
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    misfits = [key for key, shape in expected.items() if found.get(key) != shape and "num_batches" not in key]
    if misfits:
        raise WeightsError(
            f"{checkpoint} is no checkpoint of timm's {name}: {first_few(misfits, _MAX_NAMED)} missing or of "
            "another shape; save the state_dict of timm.create_model(...) of that very name"
        )


def _level_indices(name: str) -> tuple[int, ...]:
    """Returns the indices of the first five levels, or of all if the model has fewer."""
    with torch.device("meta"):
        levels = len(_widths(timm.create_model(name, features_only=True)))
    return tuple(range(min(LEVELS, levels)))


def _widths(features: Any) -> tuple[int, ...]:  # noqa: ANN401  timm's wrapper, which has no public type
    return tuple(features.feature_info.channels())
