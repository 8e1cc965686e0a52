"""Attention in the deep levels: over all positions of a feature map, or over two soft regions of it."""

# B batch, C channels, H W size of a map, N = H W positions, D = C / 8
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.nn.attention import attend

REDUCTION = 8  # queries and keys have C / 8 channels, as in self-attention GANs (Zhang et al., 2018)


class Projections(nn.Module):
    """Queries and keys of C / 8 channels and values of C channels, each by a 1x1 convolution, as rows of positions.

    Args:
        channels: C, at least 8.

    Raises:
        ValueError: If there are fewer channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < REDUCTION:
            raise ValueError(f"attention needs at least {REDUCTION} channels, got {channels}")
        inner = channels // REDUCTION
        self.query, self.key = nn.Conv2d(channels, inner, 1), nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = inner**-0.5

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries (B, N, D), keys (B, N, D) and values (B, N, C) of features (B, C, H, W)."""
        return _rows(self.query(features)), _rows(self.key(features)), _rows(self.value(features))


class SelfAttention(nn.Module):
    """Adds to each position the values of all positions, weighted by how well their keys fit its query.

    ``out = x + gamma * softmax(q k^T / sqrt(D)) v``; gamma starts at 0, so that pretrained features are not disturbed.

    Args:
        channels: C, at least 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = Projections(channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, foreground: Tensor | None = None) -> Tensor:
        """Returns features (B, C, H, W) of the same shape; ``foreground`` is ignored."""
        queries, keys, values = self.project(features)
        found = attend(queries, keys, values, scale=self.project.scale)
        return features + self.gamma * _maps(found, features)

    def weights(self, features: Tensor, foreground: Tensor | None = None) -> Tensor:
        """Returns the attention (B, N, N) of each position (row) to each (column), explicitly; rows sum to 1."""
        queries, keys, _ = self.project(features)
        return F.softmax(self.project.scale * queries @ keys.mT, dim=2)


class RegionAttention(nn.Module):
    """Adds to each position the mean values of two soft regions, object and background, weighted by their fit to it.

    An explicit reading of "different attention weights to salient objects and background": the regions are a coarse
    foreground map and what it leaves.

    Args:
        channels: C, at least 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = Projections(channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, foreground: Tensor | None) -> Tensor:
        """Returns features (B, C, H, W) of the same shape; ``foreground`` is (B, 1, H, W), in [0, 1]."""
        queries, keys, values = self.project(features)
        shares = _region_shares(foreground)
        found = attend(queries, shares @ keys, shares @ values, scale=self.project.scale)
        return features + self.gamma * _maps(found, features)

    def weights(self, features: Tensor, foreground: Tensor | None) -> Tensor:
        """Returns the attention (B, N, N) of each position to each, through the two regions, rows summing to 1."""
        queries, keys, _ = self.project(features)
        shares = _region_shares(foreground)
        return F.softmax(self.project.scale * queries @ (shares @ keys).mT, dim=2) @ shares


def _region_shares(foreground: Tensor | None) -> Tensor:
    """Returns the share of each position in the object and the background, (B, 2, N), rows summing to 1."""
    if foreground is None:
        raise ValueError("attention to regions needs a foreground map: pass one of shape (B, 1, H, W)")
    regions = torch.cat([foreground, 1 - foreground], dim=1).flatten(2)
    return regions / regions.sum(dim=2, keepdim=True).clamp_min(1e-6)


def _rows(maps: Tensor) -> Tensor:
    """Reshapes maps (B, C, H, W) to rows of positions (B, N, C)."""
    return maps.flatten(2).mT


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    """Reshapes rows (B, N, C) to maps of the size of ``like``."""
    return rows.mT.reshape(like.shape)
