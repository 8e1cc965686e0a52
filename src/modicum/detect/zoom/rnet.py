"""R-net: predicts what looking closer at a coarse detection would gain (Gao et al., *Dynamic Zoom-in Network*, 2018).

The paper regresses the gain from the score and the detector's last features with two fully connected layers of 4,096
units and 1. Ours adds the box and the class, has 256 units unless told otherwise, and begins at a gain of 0. It works
without features, so that any detector will do. The dense form needs no proposal: it draws a map of gains from features
of the whole image, and sees objects that the coarse pass did not propose at all.
"""
# N detections, K classes, F features, B images, C channels, H W cells

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from modicum.detect.boxes import Detections
from modicum.detect.overlaps import Numbers

NUM_GEOMETRY = 5
CLASS_CHANNELS = 8
MAP_SCALE = 200.0  # gains per cell are small; what the last layer draws is this factor larger
_FARTHEST = 12.0  # logits: scores of 0 and 1 are as far as any


class BoxInputs(NamedTuple):
    """What R-net sees of detections, of one image or several."""

    geometry: Tensor  # (N, 5): logit of the score, logarithms of width and height in pixels, centre as shares
    labels: Tensor  # (N,)
    features: Tensor | None  # (N, F)


def box_inputs(found: Detections, width: int, height: int) -> BoxInputs:
    """Returns what R-net sees of the detections of an image of ``width`` x ``height`` pixels.

    Scores are calibrated; boxes are in pixels of the full image.
    """
    left, top, right, bottom = found.boxes.unbind(1)
    logits = torch.logit(found.scores, eps=1e-6).clamp(-_FARTHEST, _FARTHEST)
    sides = ((right - left).clamp(min=1).log(), (bottom - top).clamp(min=1).log())
    centre = ((left + right) / (2 * width), (top + bottom) / (2 * height))
    return BoxInputs(torch.stack([logits, *sides, *centre], dim=1), found.labels, found.features)


class RNet(nn.Module):
    """Predicts gains of detections from their scores and boxes, and from features where the detector tells them.

    Args:
        num_classes: Classes K of the detector.
        num_features: Features F of each detection; 0 for a detector that tells none.
        hidden: Units of the hidden layer; the paper has 4,096.
        dropout: Share of hidden units that are dropped in training.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, num_classes: int, num_features: int = 0, *, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_features = num_features
        self.register_buffer("center", torch.zeros(NUM_GEOMETRY))
        self.register_buffer("spread", torch.ones(NUM_GEOMETRY))
        self.classes = nn.Embedding(num_classes, CLASS_CHANNELS)
        self.normalise = nn.LayerNorm(num_features) if num_features else None
        self.hidden = nn.Linear(NUM_GEOMETRY + CLASS_CHANNELS + num_features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.gain = nn.Linear(hidden, 1)
        for parameter in self.gain.parameters():  # untrained, it promises nothing
            nn.init.zeros_(parameter)

    def standardise_on(self, geometry: Tensor) -> None:
        """Sets the means and deviations by which geometry is standardised, from training detections (N, 5)."""
        self.center.copy_(geometry.mean(0))
        self.spread.copy_(geometry.std(0, correction=0).clamp(min=1e-3))

    def forward(self, geometry: Tensor, labels: Tensor, features: Tensor | None = None) -> Tensor:
        """Returns gains (N,) of detections as `box_inputs` describes them.

        Raises:
            ValueError: If features are missing, or are not as many as the network was made for.
        """
        parts = [(geometry - self.center) / self.spread, self.classes(labels)]
        given = 0 if features is None else features.shape[1]
        if given != self.num_features and len(labels):
            raise ValueError(f"R-net was made for {self.num_features} features of each detection, got {given}")
        if self.normalise is not None:
            parts.append(geometry.new_zeros(len(labels), self.num_features) if features is None else features)
            parts[-1] = self.normalise(parts[-1])
        hidden = torch.relu(self.hidden(torch.cat(parts, dim=1)))
        gains: Tensor = self.gain(self.dropout(hidden))[:, 0]
        return gains


class GainMaps(NamedTuple):
    """Gains per cell of images; their sum over a window is what it promises."""

    found: Tensor  # (B, H, W): from objects that the coarse pass missed or is unsure of
    alarms: Tensor  # (B, H, W): from detections where nothing is


class DenseRNet(nn.Module):
    """Draws maps of gains from coarse features of the whole image; needs no proposals.

    A convolution reduces the channels; each further entry doubles the resolution by a transposed convolution and
    refines it by another.

    Args:
        in_channels: Channels C of the features.
        channels: Of the first convolution and of each doubling.
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels[0], 3, padding=1), nn.ReLU()]
        for before, after in pairwise(channels):
            layers += [nn.ConvTranspose2d(before, after, 2, stride=2), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU()]
        self.decode = nn.Sequential(*layers)
        self.draw = nn.Conv2d(channels[-1], 2, 3, padding=1)
        self.enlargement = 2 ** (len(channels) - 1)
        for parameter in self.draw.parameters():  # untrained, it promises nothing
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> GainMaps:
        """Returns the maps of features (B, C, h, w), each side larger by ``enlargement``."""
        found, alarms = (self.draw(self.decode(features)) / MAP_SCALE).unbind(1)
        return GainMaps(found, alarms)


def published_dense_rnet() -> DenseRNet:
    """Returns the decoder of a public re-implementation: 2,048 channels of 16 x 16 cells to maps of 64 x 64."""
    return DenseRNet(2048, (256, 128, 64))


@torch.inference_mode()
def predict_gains(rnet: RNet, found: Detections, width: int, height: int) -> Numbers:
    """Returns the gain (N,) of each detection of an image, whose scores are calibrated."""
    geometry, labels, features = box_inputs(found, width, height)
    dtype = rnet.gain.weight.dtype
    seen = None if features is None else features.to(dtype)
    gains: Numbers = rnet(geometry.to(dtype), labels, seen).double().cpu().numpy()
    return gains


@torch.inference_mode()
def predict_gain_map(rnet: DenseRNet, features: Tensor) -> Numbers:
    """Returns the gain of each cell (H, W) that the network draws for the features (C, h, w) of one image."""
    maps = rnet(features[None].to(rnet.draw.weight.dtype))
    gains: Numbers = (maps.found + maps.alarms)[0].double().cpu().numpy()
    return gains
