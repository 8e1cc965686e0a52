"""Resizing of image batches inside a network, with one explicit kernel in training, inference and export."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kernel = Literal["antialiased", "bilinear", "bicubic"]


class Resize(nn.Module):
    """Resizes images (B, C, H, W) to a square of ``size`` pixels; returns them as they are if they have that size.

    Args:
        size: Side of the result in pixels.
        kernel: ``"antialiased"`` widens the bilinear kernel when shrinking, as Pillow does; ``"bilinear"`` does not;
            ``"bicubic"`` is Pillow's, widened as well. All place samples at pixel centres.

    Raises:
        ValueError: If the kernel is unknown.
    """

    def __init__(self, size: int, kernel: Kernel = "antialiased") -> None:
        super().__init__()
        if kernel not in get_args(Kernel):
            raise ValueError(f"kernel must be one of {str(get_args(Kernel))[1:-1]}, got {kernel!r}")
        self.size, self.kernel = size, kernel

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (B, C, size, size)."""
        if images.shape[-2:] == (self.size, self.size):
            return images
        is_half = images.dtype in (torch.bfloat16, torch.float16)
        # torch has no antialiased kernel in half precision on a CPU: it is computed in single precision there.
        is_widened = self.kernel != "bilinear" and images.device.type == "cpu" and is_half
        pixels = images.float() if is_widened else images
        return interpolate(pixels, (self.size, self.size), self.kernel).to(images.dtype)

    def extra_repr(self) -> str:
        """Returns the size and kernel, for printing."""
        return f"{self.size}, kernel={self.kernel!r}"


def interpolate(images: Tensor, size: tuple[int, int], kernel: Kernel) -> Tensor:
    """Resizes images (B, C, H, W) to ``size``, rows and columns, by a kernel of `Resize`."""
    mode = "bicubic" if kernel == "bicubic" else "bilinear"
    return F.interpolate(images, size=size, mode=mode, antialias=kernel != "bilinear")
