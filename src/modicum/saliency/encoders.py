"""Encoders: what turns an image into feature maps at falling resolution, from timm or small and from scratch."""

# B batch, H W pixels, L levels, finest first
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from modicum.nn.pretrained import PretrainedWeights, fit_state, read_pretrained
from modicum.saliency.recurrent import ConvNormRelu

SMALL = "small"
SMALL_WIDTHS = (16, 24, 48, 96)
LEVELS = 5  # of timm's networks that are used; VGG's sixth is a pooling of the fifth


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
        weights: Weights that it starts from; None for random ones.

    Raises:
        ValueError: If timm does not know the name, or it has fewer than three levels.
        WeightsError: If the weights lack tensors of the model, or have others.
    """

    def __init__(self, name: str, weights: PretrainedWeights | None = None) -> None:
        super().__init__()
        source = None if weights is None else {"state_dict": encoder_state(name, weights)}
        try:
            self.features = timm.create_model(
                name,
                pretrained=weights is not None,
                pretrained_cfg_overlay=source,
                features_only=True,
                out_indices=_level_indices(name),
            )
        except (RuntimeError, AttributeError) as error:  # what timm raises for unknown names, and without features
            raise ValueError(f"encoder {name!r} cannot be used: {error}") from error
        config = getattr(self.features, "pretrained_cfg", None)
        if isinstance(config, dict):
            config.pop("state_dict", None)  # which timm would keep
        self.channels = _widths(self.features)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns features, finest first, of images (B, 3, H, W)."""
        features: list[Tensor] = self.features(images)
        return features


def create_encoder(name: str, weights: PretrainedWeights | None = None) -> nn.Module:
    """Creates an encoder by name: ``"small"``, or a model of timm; its ``channels`` are the width of each level.

    Raises:
        ValueError: If there is none of that name, or ``"small"`` is asked for with weights.
        WeightsError: If the weights do not fit.
    """
    if name != SMALL:
        return TimmEncoder(name, weights)
    if weights is not None:
        raise ValueError("the encoder 'small' has no pretrained weights: take one of timm's")
    return SmallEncoder()


def read_encoder_weights(name: str, weights: str) -> PretrainedWeights:
    """Reads the weights of an encoder of timm and checks that they fit; see `read_pretrained`.

    Raises:
        RecipeError: If the weights are unknown or those of another network.
        WeightsError: If they cannot be had or do not fit.
        MissingExtraError: If the package that holds them is not installed.
    """
    found = read_pretrained(weights, name, library="timm")
    if timm.is_model(name):  # others are refused with their name
        encoder_state(name, found)
    return found


def encoder_state(name: str, weights: PretrainedWeights) -> dict[str, Tensor]:
    """Returns the tensors of a model of timm without its head, all of them: timm would go on with random ones.

    Raises:
        WeightsError: If a tensor is missing, unknown or of another shape.
    """
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    state, _ = fit_state(model, weights)
    return {key: value for key, value in state.items() if not value.is_meta}  # counters that were not saved


def _level_indices(name: str) -> tuple[int, ...]:
    """Returns the indices of the first five levels, or of all if the model has fewer."""
    with torch.device("meta"):
        levels = len(_widths(timm.create_model(name, features_only=True)))
    return tuple(range(min(LEVELS, levels)))


def _widths(features: Any) -> tuple[int, ...]:  # noqa: ANN401  timm's wrapper, which has no public type
    return tuple(features.feature_info.channels())
