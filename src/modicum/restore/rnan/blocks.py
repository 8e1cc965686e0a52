"""What RNAN is made of: residual blocks, mask branches with or without a non-local layer, attention blocks, groups."""
# B batch, C channels of the features, H W pixels, both even

from torch import Tensor, nn

from modicum.nn.attention import NonLocalBlock, Normalize


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution with bias that keeps the size, or halves it with stride 2."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """Two convolutions around a ReLU, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv3x3(channels, channels), conv3x3(channels, channels)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of features of that shape."""
        return features + self.second(self.activation(self.first(features)))  # type: ignore[no-any-return]


class MaskBranch(nn.Module):
    """A gate in (0, 1) for every feature at every position, which sees twice as far as the trunk at half the resolution.

    The sum of both resolutions is in the authors' code, not in the figure of the block.

    Args:
        channels: Channels C of the features.
        non_local: What looks at the whole image first, or `nn.Identity()` for a local branch.
    """

    def __init__(self, channels: int, non_local: nn.Module) -> None:
        super().__init__()
        self.non_local = non_local
        self.fine = ResidualBlock(channels)
        self.down = conv3x3(channels, channels, stride=2)
        self.coarse = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.up = nn.ConvTranspose2d(channels, channels, 6, stride=2, padding=2)
        self.merged = ResidualBlock(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Mask (B, C, H, W)."""
        fine = self.fine(self.non_local(features))
        coarse = self.coarse(self.down(fine))  # (B, C, H / 2, W / 2)
        merged = self.merged(fine + self.up(coarse))
        mask: Tensor = self.projection(merged).sigmoid()
        return mask


class AttentionBlock(nn.Module):
    """A trunk whose features a mask gates, as a residual: ``trunk * mask + input``."""

    def __init__(self, channels: int, non_local: nn.Module) -> None:
        super().__init__()
        self.before = ResidualBlock(channels)
        self.trunk = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.mask = MaskBranch(channels, non_local)
        self.after = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of features of that shape."""
        features = self.before(features)
        gated = self.trunk(features) * self.mask(features) + features
        return self.after(gated)  # type: ignore[no-any-return]  # a module's call is untyped


def local_group(channels: int) -> nn.Sequential:
    """An attention block without a non-local layer, and a convolution."""
    return nn.Sequential(AttentionBlock(channels, nn.Identity()), conv3x3(channels, channels))


def non_local_group(channels: int, normalize: Normalize) -> nn.Sequential:
    """An attention block whose mask looks at the whole image, and a convolution."""
    non_local = NonLocalBlock(channels, normalize=normalize)
    return nn.Sequential(AttentionBlock(channels, non_local), conv3x3(channels, channels))
