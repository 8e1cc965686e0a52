"""Resizing in a form that every ONNX runtime computes alike."""

# B batch, C channels, S side of the image, T side of the result, in pixels
# G groups of p pixels of the result, q pixels of the image apart; k taps of the kernel
import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.nn.resizing import Resize, interpolate

FEWEST_GROUPS = 4  # kernels that repeat less often are hardly smaller than the image
ALIKE = 1e-6  # by which weights of different groups may differ: more than rounding, unless the ratio itself is rounded


class MatrixResize(nn.Module):
    """A `Resize` of square images as two matrix products with PyTorch's own weights.

    ONNX has an operator for it, but runtimes place its samples in their own arithmetic: ONNX Runtime's differs by
    1.3e-4 from PyTorch on unit noise from 224 to 168 pixels (plain kernel; 5e-5 antialiased). This form differs by 5e-7
    and costs 0.4 to 1 ms more per 224-pixel image on one core.

    Args:
        resize: What to imitate.
        side: Side S of the images that will come.
    """

    weights: Tensor  # (T, S)

    def __init__(self, resize: Resize, side: int) -> None:
        super().__init__()
        self.register_buffer("weights", resize_weights(resize, side), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (B, C, T, T) of images (B, C, S, S)."""
        return self.weights @ (images @ self.weights.T)


class StridedResize(nn.Module):
    """A `Resize` of square images as two strided convolutions, down the columns and along the rows.

    Where p pixels of the result fall on q of the image, again and again, they do so with the same p kernels; at the
    edges, where PyTorch divides by the sum of the weights that lie inside, so does this form. It takes 0.2 ms instead
    of 0.6 for an image from 192 to 64 pixels in ONNX Runtime on one core, 0.5 instead of 1.4 to 128 pixels.

    Args:
        resize: What to imitate.
        side: Side S of the images that will come.

    Raises:
        ValueError: If weights do not repeat: the sizes have no large common divisor, or PyTorch's own weights are those
            of a rounded ratio.
    """

    columns: Tensor  # (3p, 1, k, 1)
    rows: Tensor  # (3p, 1, 1, k)
    scale: Tensor  # (T, T)

    def __init__(self, resize: Resize, side: int) -> None:
        super().__init__()
        weights = resize_weights(resize, side)
        num_groups = math.gcd(resize.size, side)
        self.size, self.repeat, self.stride = resize.size, resize.size // num_groups, side // num_groups
        kernels, self.before, self.after = self._cut_kernels(weights, num_groups // 2)
        inside = self._rebuild(kernels, side)
        sums = inside.sum(dim=1)
        if num_groups < FEWEST_GROUPS or (inside / sums[:, None] - weights).abs().max() > ALIKE:
            raise ValueError(f"weights from {side} to {resize.size} pixels do not repeat")
        self.register_buffer("columns", kernels[:, None, :, None].repeat(3, 1, 1, 1), persistent=False)
        self.register_buffer("rows", kernels[:, None, None, :].repeat(3, 1, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / (sums[:, None] * sums), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (B, 3, T, T) of images (B, 3, S, S)."""
        padded = F.pad(images, (self.before, self.after, self.before, self.after))
        x = F.conv2d(padded, self.columns, stride=(self.stride, 1), groups=3)  # (B, 3p, G, padded S)
        x = x.reshape(len(x), 3, self.repeat, *x.shape[2:]).transpose(2, 3).flatten(2, 3)  # (B, 3, T, padded S)
        x = F.conv2d(x, self.rows, stride=(1, self.stride), groups=3)  # (B, 3p, T, G)
        x = x.reshape(len(x), 3, self.repeat, *x.shape[2:]).permute(0, 1, 3, 4, 2).flatten(3, 4)  # (B, 3, T, T)
        resized: Tensor = x * self.scale
        return resized

    def _cut_kernels(self, weights: Tensor, group: int) -> tuple[Tensor, int, int]:
        """Returns the kernels (p, k) of a group, and how far they reach beyond its q pixels on both sides."""
        own, start = weights[group * self.repeat : (group + 1) * self.repeat], group * self.stride
        reached = own.any(dim=0).nonzero()[:, 0]
        first, last = min(int(reached.min()), start), max(int(reached.max()), start + self.stride - 1)
        return own[:, first : last + 1].clone(), start - first, last - start - self.stride + 1

    def _rebuild(self, kernels: Tensor, side: int) -> Tensor:
        """Returns the weights (T, S) that repeated kernels (p, k) stand for, before their sums are made 1."""
        num_groups, taps = self.size // self.repeat, kernels.shape[1]
        wide = torch.zeros(num_groups, self.repeat, self.before + side + self.after)
        for group in range(num_groups):
            wide[group, :, group * self.stride : group * self.stride + taps] = kernels
        return wide.flatten(0, 1)[:, self.before : self.before + side]


def resize_weights(resize: Resize, side: int) -> Tensor:
    """Returns PyTorch's own weights (T, S): each row makes a pixel of the result of a row of ``side`` pixels."""
    unit_rows = torch.eye(side)[None, None]  # in single precision: its rounding is part of PyTorch's answer
    return interpolate(unit_rows, (resize.size, side), resize.kernel)[0, 0]


def exportable_resize(resize: Resize, side: int) -> nn.Module:
    """Returns an exportable replacement of ``resize`` for square images of ``side`` pixels and three channels."""
    if resize.size == side:
        return nn.Identity()
    try:
        return StridedResize(resize, side)
    except ValueError:  # slower, but for any ratio
        return MatrixResize(resize, side)


@torch.no_grad()
def replace_resizes(network: nn.Module, images: Tensor) -> nn.Module:
    """Returns a copy of a network whose every `Resize` is in the form of `exportable_resize`.

    Args:
        network: In evaluation mode, its resizes of square images, each of images of one size.
        images: Two or more that it takes, (B, 3, S, S).
    """
    changed = nn.Sequential(copy.deepcopy(network))  # so that the network itself may be one
    sides: dict[str, int] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: sides.update({name: inputs[0].shape[-1]}))
        for name, module in changed.named_modules()
        if isinstance(module, Resize)
    ]
    changed(images)
    for hook in hooks:
        hook.remove()
    for name, side in sides.items():
        resize = changed.get_submodule(name)
        assert isinstance(resize, Resize)
        changed.set_submodule(name, exportable_resize(resize, side))
    replaced: nn.Module = changed[0]
    return replaced
