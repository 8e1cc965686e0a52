"""PSNR and SSIM with the conventions of the restoration literature, which differ from the defaults of libraries."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.restore.colour import studio_luma
from modicum.restore.pixels import as_colour, cut_border, quantise
from modicum.restore.task import Task
from modicum.storage.errors import MissingExtraError

PEAK = 255.0
SSIM_WINDOW = 11


@dataclass(frozen=True)
class Scores:
    """How near a restored image comes to the true one, or the mean over several.

    Attributes:
        psnr: Decibels; infinite for equal images.
        ssim: At most 1, which equal images have.
    """

    psnr: float
    ssim: float


def score(restored: NDArray[Any], target: NDArray[Any], task: Task) -> Scores:
    """Returns PSNR and SSIM of one image by the rules of a task: 8 bit, its luma, its border.

    Args:
        restored: Shape of the target, values around 0..255; clipped and rounded to 8 bit first, as a file would be.
        target: Shape (H, W) or (H, W, 3), uint8.
        task: Says which grey is compared and which border is cut.

    Raises:
        ValueError: If the shapes differ, or too little is left for SSIM's window of 11 pixels.
    """
    if restored.shape != target.shape:
        raise ValueError(f"restored image of shape {restored.shape} cannot be compared with one of {target.shape}")
    pair = [quantise(restored), target]
    if task.metric_luma:
        pair = [studio_luma(as_colour(image)) for image in pair]
    first, second = (cut_border(image, task.border) for image in pair)
    return Scores(psnr(first, second), ssim(first, second))


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Returns the PSNR in dB with peak 255, of one mean squared error over all pixels and channels.

    Example:
        >>> grey = np.full((16, 16), 100, dtype=np.uint8)
        >>> round(psnr(grey, grey + 10), 2)
        28.13
    """
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float(10 * np.log10(PEAK**2 / error)) if error else float("inf")


def ssim(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Computes structural similarity as its authors' program does (Wang et al., 2004); mean over channels.

    A Gaussian window of 11 pixels with sigma 1.5, constants 0.01 and 0.03, range 255, only where the window fits into
    the image. The JPEG columns of older papers hold the SSIM of a uniform 8x8 window instead, which is higher.

    Raises:
        MissingExtraError: If scikit-image is not installed.
        ValueError: If a side is shorter than the window.
    """
    try:
        from skimage.metrics import structural_similarity
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-image", "restore") from error
    if min(first.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, got {first.shape[0]}x{first.shape[1]}")
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image annotates little
            first,
            second,
            data_range=PEAK,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2 if first.ndim == 3 else None,
        )
    )


def mean_scores(scores: Iterable[Scores]) -> Scores:
    """Averages scores over images, PSNR in decibels; raises `ValueError` if there are no images."""
    values = list(scores)
    if not values:
        raise ValueError("there are no images to average over")
    return Scores(float(np.mean([one.psnr for one in values])), float(np.mean([one.ssim for one in values])))
