"""Self-attention recurrent saliency network: a reading of the abstract of arXiv 1808.01634.

F. Sun, W. Li, Y. Guan, *Self-Attention Recurrent Network for Saliency Detection*, 2018. Only its abstract could be
found, so only that is followed: features of one backbone, shallow levels enhanced by a recurrence whose kernel is
shared over the time steps, deep levels by self-attention, end-to-end training. Which levels count as shallow, the
number of steps, the fusion and the losses are ours, built of parts that were usual in 2018; no figure of the paper is
claimed.
"""

# B batch, H W pixels, C channels of the head, L levels, finest first
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.saliency.attention import RegionAttention, SelfAttention
from modicum.saliency.encoders import create_encoder
from modicum.saliency.recurrent import ConvNormRelu, RecurrentConv, StepNorms

DeepAttention = Literal["self", "region", "none"]
DEEP_LEVELS = 2
DEFAULT_ENCODER = "mobilenetv3_large_100"


class SideLogits(NamedTuple):
    """What training needs: the logits of every supervised output, finest first."""

    sides: tuple[Tensor, ...]  # each (B, 1, H, W), of the size of the images

    @property
    def finest(self) -> Tensor:
        """The logits of the prediction, (B, 1, H, W)."""
        return self.sides[0]


class AttentionWeights(NamedTuple):
    """What each position of one level takes from each."""

    weights: Tensor  # (B, N, N), rows summing to 1; positions run row by row over the level's map
    size: tuple[int, ...]  # rows and columns of that map, N in all


class DeepLevel(nn.Module):
    """A deep level: reduced to C channels, then attended.

    Args:
        in_channels: Channels of the encoder's level.
        channels: C.
        attention: Which attention, if any.
    """

    def __init__(self, in_channels: int, channels: int, attention: DeepAttention) -> None:
        super().__init__()
        self.reduce = ConvNormRelu(in_channels, channels)
        self.attention = _create_attention(attention, channels)

    def attend(self, reduced: Tensor, foreground: Tensor | None) -> Tensor:
        """Returns attended features of the shape of ``reduced``, (B, C, H, W)."""
        attended: Tensor = reduced if self.attention is None else self.attention(reduced, foreground)
        return attended

    def weights(self, reduced: Tensor, foreground: Tensor | None) -> Tensor:
        """Returns the attention (B, N, N) of each position to each; raises `ValueError` without attention."""
        if self.attention is None:
            raise ValueError("this network has no attention to look at: its deep_attention is 'none'")
        weights: Tensor = self.attention.weights(reduced, foreground)
        return weights


class Decoder(nn.Module):
    """Fuses the levels from the coarsest to the finest: ``D_k = CBR(concat(L_k, up(D_{k+1})))``.

    Args:
        levels: Number of levels.
        channels: C, of every level.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.coarsest = ConvNormRelu(channels, channels)
        self.fuse = nn.ModuleList(ConvNormRelu(2 * channels, channels) for _ in range(levels - 1))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Returns fused maps of the sizes of ``levels``, finest first."""
        maps = [self.coarsest(levels[-1])]
        for fuse, level in zip(reversed(self.fuse), reversed(levels[:-1]), strict=True):
            maps.append(fuse(torch.cat([level, resize(maps[-1], level)], dim=1)))
        return maps[::-1]


class SaliencyNet(nn.Module):
    """From images (B, 3, H, W) of any size to saliency.

    Args:
        encoder: Name for `create_encoder`; it gives at least three feature maps, finest first.
        width: Channels C of the head.
        steps: Applications T of the recurrent kernel in the shallow levels, 0..5; 0 is a plain convolution.
        step_norms: Whether each step has its own normalisation.
        deep_attention: ``"self"`` over all positions, ``"region"`` over object and background, or ``"none"``.
        skip_finest: Leave out the encoder's finest level, which costs most, for a little sharpness at edges.
        loaded_encoder: The encoder with its weights, as `create_encoder` gives it; None creates it with random ones.

    Raises:
        ValueError: If an option is out of range or the encoder has too few levels.

    Example:
        >>> network = SaliencyNet("mobilenetv3_small_050", width=8, steps=1).eval()
        >>> network.saliency(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    storage_name = "saliency"

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        *,
        width: int = 64,
        steps: int = 3,
        step_norms: StepNorms = "per_step",
        deep_attention: DeepAttention = "self",
        skip_finest: bool = False,
        loaded_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = loaded_encoder if isinstance(loaded_encoder, nn.Module) else create_encoder(encoder)
        channels = tuple(self.encoder.channels)[int(skip_finest) :]  # type: ignore[arg-type]  # a tuple of every encoder
        _check_options(encoder, channels, step_norms, deep_attention)
        self.encoder_name, self.width, self.steps = encoder, width, steps
        self.step_norms, self.deep_attention, self.skip_finest = step_norms, deep_attention, skip_finest
        shallow, deep = channels[:-DEEP_LEVELS], channels[-DEEP_LEVELS:]
        self.shallow = nn.ModuleList(RecurrentConv(each, width, steps=steps, norms=step_norms) for each in shallow)
        self.deep = nn.ModuleList(DeepLevel(each, width, deep_attention) for each in deep)
        self.region = _side_conv(width) if deep_attention == "region" else None
        self.decoder = Decoder(len(channels), width)
        self.sides = nn.ModuleList(_side_conv(width) for _ in channels)

    def forward(self, images: Tensor) -> SideLogits:
        """Returns the logits of all supervised outputs: one per level, and the coarse regions for attention to them."""
        shallow, reduced, coarse = self._reduced_levels(images)
        maps = self._fused(shallow, reduced, coarse)
        logits = [side(features) for side, features in zip(self.sides, maps, strict=True)]
        return SideLogits(tuple(resize(each, images) for each in (*logits, *coarse)))

    def saliency(self, images: Tensor) -> Tensor:
        """Returns the prediction (B, 1, H, W), in [0, 1]; the coarser outputs, needed only in training, are skipped."""
        maps = self._fused(*self._reduced_levels(images))
        return resize(self.sides[0](maps[0]), images).sigmoid()

    def attention_weights(self, images: Tensor) -> tuple[AttentionWeights, ...]:
        """Returns the attention of each position to each, for every deep level, finer level first.

        Takes N^2 numbers per image and level: for 352x352 pixels and a stride of 16, 484^2.

        Raises:
            ValueError: If the network has no attention.
        """
        _, reduced, coarse = self._reduced_levels(images)
        return tuple(
            AttentionWeights(level.weights(features, _foreground(coarse, features)), tuple(features.shape[-2:]))
            for level, features in zip(self._deep_levels(), reduced, strict=True)
        )

    def storage_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "encoder": self.encoder_name,
            "width": self.width,
            "steps": self.steps,
            "step_norms": self.step_norms,
            "deep_attention": self.deep_attention,
            "skip_finest": self.skip_finest,
        }

    def _reduced_levels(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Returns enhanced shallow levels, deep levels before attention, and the coarse region logits (one or none)."""
        features = self.encoder(images)[int(self.skip_finest) :]
        split = len(self.shallow)
        shallow = [enhance(each) for enhance, each in zip(self.shallow, features[:split], strict=True)]
        reduced = [level.reduce(each) for level, each in zip(self._deep_levels(), features[split:], strict=True)]
        return shallow, reduced, [] if self.region is None else [self.region(reduced[-1])]

    def _fused(self, shallow: list[Tensor], reduced: list[Tensor], coarse: list[Tensor]) -> list[Tensor]:
        deep = [
            level.attend(features, _foreground(coarse, features))
            for level, features in zip(self._deep_levels(), reduced, strict=True)
        ]
        maps: list[Tensor] = self.decoder([*shallow, *deep])
        return maps

    def _deep_levels(self) -> list[DeepLevel]:
        return list(self.deep)  # type: ignore[arg-type]  # nn.ModuleList does not know what it holds


def resize(maps: Tensor, like: Tensor) -> Tensor:
    """Resizes maps (B, C, h, w) to the size of ``like``, bilinear between pixel centres."""
    # Centres, not corners: aligned corners would shift thin objects; sizes are read off, so any input size works.
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _foreground(coarse: list[Tensor], like: Tensor) -> Tensor | None:
    return resize(coarse[0].sigmoid(), like) if coarse else None


def _side_conv(channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, 1, 3, padding=1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None  # of every convolution that is not told otherwise
    nn.init.zeros_(conv.bias)
    return conv


def _create_attention(kind: DeepAttention, channels: int) -> SelfAttention | RegionAttention | None:
    if kind == "self":
        return SelfAttention(channels)
    return RegionAttention(channels) if kind == "region" else None


def _check_options(encoder: str, channels: tuple[int, ...], step_norms: str, deep_attention: str) -> None:
    if len(channels) < DEEP_LEVELS + 1:
        raise ValueError(
            f"encoder {encoder!r} has {len(channels)} levels to use: at least {DEEP_LEVELS + 1} are needed"
        )
    if step_norms not in get_args(StepNorms):
        raise ValueError(f"step_norms must be one of {', '.join(get_args(StepNorms))}, got {step_norms!r}")
    if deep_attention not in get_args(DeepAttention):
        raise ValueError(f"deep_attention must be one of {', '.join(get_args(DeepAttention))}, got {deep_attention!r}")
