"""What a network has to beat: maps that look at no image, and one that looks at its colours alone."""

# H W size of an image in px
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.storage.errors import MissingExtraError

Baseline = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From a picture (H, W, 3) to a map (H, W), both uint8."""

PRIOR_PX = 256  # side at which masks are averaged
_SPREAD = 0.25  # of the centre Gaussian, in sides of the image


def baselines(training_masks: Iterable[NDArray[np.uint8]]) -> dict[str, Baseline]:
    """Returns every baseline by its name in reports; the mean mask is the one to beat.

    Spectral residual and fine-grained saliency are left out: they stand in OpenCV's contributed modules, and
    pysodmetrics, which the measures need, depends on the OpenCV distribution without them; the two cannot be installed
    side by side.

    Args:
        training_masks: Of the training part, (H, W) uint8 each.

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    _rgb2lab()
    prior = mean_mask(training_masks)
    return {
        "all zero": zero,
        "centre Gaussian": centre,
        "mean training mask": lambda pixels: _stretched(prior, pixels.shape[:2]),
        "frequency-tuned": frequency_tuned,
        "frequency-tuned x centre": lambda pixels: _to_8_bit(frequency_tuned(pixels) / 255 * centre(pixels)),
    }


def zero(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a map of zeros: nothing is salient."""
    return np.zeros(pixels.shape[:2], np.uint8)


def centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a centred Gaussian with a standard deviation of a quarter of each side."""
    down, right = ((np.arange(side) + 0.5) / side - 0.5 for side in pixels.shape[:2])
    bell = np.exp(-0.5 * ((down / _SPREAD) ** 2)[:, None] - 0.5 * ((right / _SPREAD) ** 2)[None])
    return _to_8_bit(255 * bell)


def mean_mask(masks: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Returns the mean of some masks, all stretched to one square, (256, 256).

    Raises:
        ValueError: If there are none.
    """
    total, count = np.zeros((PRIOR_PX, PRIOR_PX)), 0
    for mask in masks:
        total += _stretched(mask, (PRIOR_PX, PRIOR_PX))
        count += 1
    if not count:
        raise ValueError("the mean mask needs at least one mask")
    return _to_8_bit(total / count)


def frequency_tuned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Measures the distance in Lab of the slightly smoothed image from its mean colour (R. Achanta et al., 2009).

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    lab = _rgb2lab()(pixels)
    smooth = _binomial(_binomial(lab, 0), 1)
    distance = np.linalg.norm(smooth - lab.mean(axis=(0, 1)), axis=2)
    low, high = distance.min(), distance.max()
    return _to_8_bit(255 * (distance - low) / (high - low)) if high > low else zero(pixels)


def _binomial(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Smooths by (1, 4, 6, 4, 1) / 16 along an axis, like the authors of the method."""
    padding = [(2, 2) if each == axis else (0, 0) for each in range(values.ndim)]
    padded = np.pad(values, padding, mode="edge")
    taps = enumerate((1, 4, 6, 4, 1))
    return np.asarray(
        sum(weight * np.take(padded, np.arange(values.shape[axis]) + place, axis) for place, weight in taps) / 16
    )


def _stretched(grey: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(grey).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _to_8_bit(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(values).astype(np.uint8)


def _rgb2lab() -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    try:
        from skimage.color import rgb2lab
    except ImportError as error:
        raise MissingExtraError("scikit-image", "saliency") from error
    return rgb2lab  # type: ignore[no-any-return]  # scikit-image is not typed throughout
