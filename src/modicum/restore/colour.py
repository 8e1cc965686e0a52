"""The field's two greys, which must not be mixed, and the way back to colour.

*Full-range* grey, 0..255, is what MATLAB's ``rgb2gray`` gives and what grey denoising is measured on. *Studio* luma,
16..235, is the Y of MATLAB's ``rgb2ycbcr`` (ITU-R BT.601) and what JPEG artefact removal and the metric of
super-resolution use. On the same photograph they differ by up to 20 grey levels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.restore.pixels import Bytes, as_colour, quantise

FULL_RANGE_WEIGHTS = (0.2989, 0.5870, 0.1140)
STUDIO_WEIGHTS = (65.481, 128.553, 24.966)  # per 255 of R, G, B
STUDIO_BLACK, STUDIO_SPAN = 16.0, 219.0  # black is 16, white 16 + 219 = 235


def full_range_grey(rgb: Bytes) -> Bytes:
    """Converts colour (H, W, 3) to grey (H, W), black 0 and white 255, rounded: the target of grey denoising."""
    return quantise(rgb.astype(np.float64) @ np.array(FULL_RANGE_WEIGHTS))


def studio_luma(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Returns Y (H, W) of a colour image (H, W, 3) in 0..255: black 16, white 235, not rounded; the metric of SR."""
    luma: NDArray[np.float64] = STUDIO_BLACK + rgb.astype(np.float64) @ np.array(STUDIO_WEIGHTS) / 255
    return luma


def studio_luma_8_bit(rgb: Bytes) -> Bytes:
    """Rounds `studio_luma` to 8 bit: the target of JPEG artefact removal."""
    return quantise(studio_luma(rgb))


def replace_studio_luma(rgb: NDArray[Any], luma: NDArray[Any]) -> NDArray[np.float64]:
    """Replaces Y of a colour image and keeps Cb and Cr: how a network for luma alone restores a colour photograph.

    In YCbCr each of R, G and B is a linear function of Y, with slope 255 / 219, so a change of Y adds the same to all.

    Args:
        rgb: Shape (H, W, 3), values 0..255.
        luma: Shape (H, W), studio range; need not be rounded.

    Returns:
        Shape (H, W, 3), clipped to 0..255, not rounded.
    """
    change = (luma - studio_luma(rgb)) * (255 / STUDIO_SPAN)
    return np.clip(as_colour(rgb) + change[..., None], 0, 255)
