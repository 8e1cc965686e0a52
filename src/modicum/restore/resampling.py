"""Bicubic resizing as MATLAB's ``imresize`` does it, to the last bit: the ground of super-resolution.

The cubic kernel (Keys, 1981, a = -0.5) is stretched by the scale when it shrinks (antialiasing). Rows are resized
first, then columns, and the values are rounded to whole ones after *each* of the two: other libraries round once, and
differ by one grey level in every eighth pixel. Outside the image its outermost row or column goes on.
"""
# H W pixels of the image, N of one side of the result, P taps of the kernel

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.restore.pixels import quantise

KERNEL_WIDTH = 4.0


def downscale(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Shrinks the image to a ``factor``-th of its size, sides rounded up.

    Args:
        image: Shape (H, W) or (H, W, C), uint8 or uint16; the result has the same type.
        factor: At least 1.

    Raises:
        ValueError: If the factor is below 1 or the pixels are not whole numbers.
    """
    return _resize(image, Fraction(1, _checked(factor)))


def upscale(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Enlarges the image to ``factor`` times its size; arguments and errors as of `downscale`."""
    return _resize(image, Fraction(_checked(factor)))


def _checked(factor: int) -> int:
    if factor < 1:
        raise ValueError(f"factor must be a whole number of at least 1, got {factor}")
    return factor


def _resize(image: NDArray[Any], scale: Fraction) -> NDArray[Any]:
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels must be uint8 or uint16, since each pass rounds to them, got {image.dtype}")
    rows = _resize_rows(image, scale)
    return np.ascontiguousarray(_resize_rows(rows.swapaxes(0, 1), scale).swapaxes(0, 1))


def _resize_rows(image: NDArray[Any], scale: Fraction) -> NDArray[Any]:
    """Resizes the image to ``ceil(H * scale)`` rows, rounded to its own type."""
    taps, weights = _taps(image.shape[0], scale)
    columns = (-1,) + (1,) * (image.ndim - 1)
    total = np.zeros((len(taps), *image.shape[1:]))
    for place, weight in zip(taps.T, weights.T, strict=True):  # P, at most 18 for a quarter of the size
        total += weight.reshape(columns) * image[place]
    return quantise(total, int(np.iinfo(image.dtype).max))


def _taps(size: int, scale: Fraction) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the input pixels that make up each pixel of the result, (N, P), and their weights, (N, P), with sum 1."""
    ratio = float(scale)
    stretch = min(ratio, 1.0)
    width = KERNEL_WIDTH / stretch
    centres = np.arange(1, math.ceil(size * scale) + 1) / ratio + 0.5 * (1 - 1 / ratio)  # pixels count from 1
    first = np.floor(centres - width / 2).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = stretch * _cubic(stretch * (centres[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(taps, 1, size) - 1, weights


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluates Keys' kernel with a = -0.5 at these distances in pixels."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
