"""The two forms of an image here, grey (H, W) and colour (H, W, 3), values 0..255, and the way between them."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


def quantise(values: NDArray[Any], maximum: int = 255) -> NDArray[Any]:
    """Converts values of any kind to whole numbers of ``0..maximum``: clipped, halves rounded up as MATLAB does.

    Args:
        values: Any shape, finite.
        maximum: 255 gives uint8, 65535 gives uint16.
    """
    whole: NDArray[Any] = np.floor(np.clip(values, 0, maximum) + 0.5)
    return whole.astype(np.uint8 if maximum <= 255 else np.uint16)


def is_grey(image: NDArray[Any]) -> bool:
    """Tells whether an image has one channel, or three that are equal everywhere."""
    return image.ndim == 2 or bool((image == image[..., :1]).all())


def simplest_form(image: NDArray[Any]) -> NDArray[Any]:
    """Returns a grey image as (H, W), whatever form it came in; any other as it is, (H, W, 3)."""
    return image if image.ndim == 2 or not is_grey(image) else np.ascontiguousarray(image[..., 0])


def as_colour(image: NDArray[Any]) -> NDArray[Any]:
    """Returns the image as (H, W, 3); a grey image gets three equal channels."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def channels_first(image: NDArray[Any]) -> NDArray[Any]:
    """Returns the image as (C, H, W), as networks take images; C is 1 for a grey one."""
    return image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)


def channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """Returns a network's result, (1, H, W) or (3, H, W), as (H, W) or (H, W, 3)."""
    return image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)


def cut_border(image: NDArray[Any], border: int) -> NDArray[Any]:
    """Cuts ``border`` pixels off each side."""
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def cut_to_multiple(image: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Cuts off the last rows and columns that do not fill a multiple of ``multiple`` pixels."""
    height, width = image.shape[:2]
    return image[: height - height % multiple, : width - width % multiple]


def same_size(image: NDArray[Any], scale: int) -> NDArray[Any]:
    """Enlarges an input to the size of its result by repeating pixels, for display."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1) if scale > 1 else image
