"""Recurrent convolution: one kernel applied again and again to a map that its input drives at every step.

The layer of M. Liang and X. Hu, *Recurrent Convolutional Neural Network for Object Recognition*, 2015, in the form that
the saliency networks of 2016-2018 used: the feed-forward term is added at every step, and each step has statistics of
its own, because activations drift over the steps.
"""

# B batch, C channels, H W pixels, T steps
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

StepNorms = Literal["per_step", "shared"]
MAX_STEPS = 5


class ConvNormRelu(nn.Module):
    """3x3 convolution without bias, batch normalisation, ReLU; maps (B, in, H, W) to (B, C, H, W).

    Args:
        in_channels: Channels of the input.
        channels: Channels C of the result.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Returns features (B, C, H, W), at least 0."""
        return F.relu(self.norm(self.conv(features)))


class RecurrentConv(nn.Module):
    """Local enhancement: ``h_0 = relu(BN_0(a))``, ``h_t = relu(BN_t(a + W h_{t-1}))`` with ``a = V x``.

    The kernel W is one parameter however many steps there are; each step widens the receptive field by two pixels.
    Without steps this is `ConvNormRelu`.

    Args:
        in_channels: Channels of the input x.
        channels: Channels C of the state h.
        steps: How often the kernel is applied, T in 0..5.
        norms: Whether each step normalises with its own statistics and weights, or all with the same.

    Raises:
        ValueError: If ``steps`` is out of range.
    """

    def __init__(self, in_channels: int, channels: int, *, steps: int = 3, norms: StepNorms = "per_step") -> None:
        super().__init__()
        if not 0 <= steps <= MAX_STEPS:
            raise ValueError(f"steps must be 0..{MAX_STEPS}, got {steps}")
        self.steps = steps
        self.feed_forward = conv3x3(in_channels, channels)
        self.recurrent = conv3x3(channels, channels) if steps else None
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(steps + 1 if norms == "per_step" else 1))

    def forward(self, features: Tensor) -> Tensor:
        """Returns the last state (B, C, H, W), at least 0."""
        drive = self.feed_forward(features)
        state = F.relu(self.norm(0)(drive))
        if self.recurrent is not None:
            for step in range(1, self.steps + 1):
                state = F.relu(self.norm(step)(drive + self.recurrent(state)))
        return state

    def norm(self, step: int) -> nn.BatchNorm2d:
        """Returns the normalisation of ``step`` in 0..T."""
        chosen: nn.BatchNorm2d = self.norms[min(step, len(self.norms) - 1)]  # type: ignore[assignment]  # built so
        return chosen


def conv3x3(in_channels: int, channels: int) -> nn.Conv2d:
    """Returns a 3x3 convolution that keeps the size, without bias, initialised for a following ReLU."""
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
