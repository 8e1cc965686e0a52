"""What a report sets beside a network: the degraded image itself, and what needs no training, by task.

Rows whose library is not installed are left out, with a note that says so. BM3D's licence allows non-commercial use
only, hence it comes with an extra of its own. Strengths that a method leaves open were chosen on photographs of
BSDS500's training part, never on a test set.
"""
# Images are (H, W) or (H, W, 3), values 0..255, and so are the results, which are not rounded

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modicum.restore.pixels import cut_border, quantise
from modicum.restore.resampling import upscale
from modicum.restore.task import Task
from modicum.storage.errors import install_hint

Restorer: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

PEAK = 255.0
BAYER_ORDER = "GRBG"
DEMOSAIC_MARGIN = 8  # even, and wider than the filters reach
TV_PER_SIGMA = 0.8  # best of 0.6, 0.8 ... 1.4 for sigma 25 to 70
TV_PER_QUALITY, NL_MEANS_PER_QUALITY = 0.3, 0.45  # divided by the quality; near the best for 10, 20, 30 and 40


@dataclass(frozen=True)
class Baseline:
    """A way to restore images that was not trained here.

    Attributes:
        name: As the field calls it.
        restore: From a degraded image, as `degrade` gives it, to values around 0..255 in the shape of the target.
        note: What a reader of its figures must know; empty for nothing.
    """

    name: str
    restore: Restorer
    note: str = ""


@dataclass(frozen=True)
class Baselines:
    """What can be compared with on this machine.

    Attributes:
        rows: The baselines; the first is the degraded image itself, enlarged where the task enlarges.
        missing: For each that is left out, its name and how to get it.
    """

    rows: tuple[Baseline, ...]
    missing: tuple[str, ...]


class _Candidate(NamedTuple):
    baseline: Baseline
    package: str | None = None  # that must be installed
    extra: str = "restore"  # that brings it


def baselines_for(task: Task) -> Baselines:
    """Returns the baselines of a task, and those that are missing because a library is not installed."""
    rows: list[Baseline] = []
    missing: list[str] = []
    for baseline, package, extra in _candidates(task):
        if package is None or importlib.util.find_spec(package) is not None:
            rows.append(baseline)
        else:
            missing.append(f"{baseline.name} is left out; to have it, {install_hint(extra)}")
    return Baselines(tuple(rows), tuple(missing))


def _candidates(task: Task) -> Iterator[_Candidate]:
    if task.name == "super-resolution":
        yield _Candidate(Baseline("bicubic", partial(upscale, factor=task.scale)))
    elif task.name == "demosaic":
        yield from _demosaicers()
    elif task.quality is not None:
        yield _Candidate(Baseline("JPEG", _unchanged))
        weight, h = TV_PER_QUALITY / task.quality, NL_MEANS_PER_QUALITY / task.quality
        yield _Candidate(Baseline("TV", partial(total_variation, weight=weight), f"weight {weight:.3g}"), "skimage")
        yield _Candidate(Baseline("nl-means", partial(nl_means, h=h), f"h {h:.3g}"), "skimage")
    elif task.sigma is not None:
        yield from _denoisers(task.sigma, is_colour=task.channels == 3)


def _demosaicers() -> Iterator[_Candidate]:
    yield _Candidate(Baseline("zero-filled mosaic", _unchanged))
    yield _Candidate(Baseline("bilinear", bilinear_demosaic), "cv2")
    yield _Candidate(Baseline("Malvar", malvar_demosaic), "colour_demosaicing", "demosaic")
    yield _Candidate(Baseline("Menon", menon_demosaic), "colour_demosaicing", "demosaic")


def _denoisers(sigma: float, *, is_colour: bool) -> Iterator[_Candidate]:
    """Yields the classic denoisers, strongest first; all are told the sigma."""
    scaled, note = sigma / PEAK, "sigma given"
    name = "CBM3D" if is_colour else "BM3D"
    yield _Candidate(Baseline("noisy", _unchanged))
    yield _Candidate(Baseline(name, partial(bm3d, sigma=scaled), f"{note}; non-commercial licence"), "bm3d", "bm3d")
    yield _Candidate(Baseline("nl-means", partial(nl_means, h=0.6 * scaled, sigma=scaled), note), "skimage")
    yield _Candidate(Baseline("TV", partial(total_variation, weight=TV_PER_SIGMA * scaled), note), "skimage")
    yield _Candidate(Baseline("wavelet", partial(wavelet, sigma=scaled), note), "skimage")


def _unchanged(image: NDArray[Any]) -> NDArray[Any]:
    return image


def bm3d(image: NDArray[Any], *, sigma: float) -> NDArray[Any]:
    """Denoises by block matching and 3-D filtering (Dabov et al., 2007); colour in an opponent space (CBM3D).

    The package `bm3d` is for non-commercial use only. About 1 second per 96x96 pixels on one core.

    Args:
        image: The noisy image.
        sigma: Standard deviation of the noise, over 255.
    """
    import bm3d as package

    function = package.bm3d_rgb if image.ndim == 3 else package.bm3d
    restored: NDArray[Any] = function(image / PEAK, sigma)
    return restored * PEAK


def nl_means(image: NDArray[Any], *, h: float, sigma: float = 0.0) -> NDArray[Any]:
    """Denoises by non-local means (Buades et al., 2005) with patches of 5 pixels in a neighbourhood of 13.

    Args:
        image: The noisy image.
        h: How different patches may be to count as alike, over 255.
        sigma: Standard deviation of the noise, over 255; 0 if unknown.
    """
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": 6, "fast_mode": True, "channel_axis": _channel_axis(image)}
    restored: NDArray[Any] = denoise_nl_means(image / PEAK, h=h, sigma=sigma, **options)
    return restored * PEAK


def total_variation(image: NDArray[Any], *, weight: float) -> NDArray[Any]:
    """Denoises by total variation (Chambolle, 2004); the larger the weight, the smoother the result."""
    from skimage.restoration import denoise_tv_chambolle

    restored: NDArray[Any] = denoise_tv_chambolle(  # type: ignore[no-untyped-call]  # scikit-image annotates little
        image / PEAK, weight=weight, channel_axis=_channel_axis(image)
    )
    return restored * PEAK


def wavelet(image: NDArray[Any], *, sigma: float) -> NDArray[Any]:
    """Denoises by soft wavelet thresholding with BayesShrink (Chang et al., 2000); colour in YCbCr.

    Args:
        image: The noisy image.
        sigma: Standard deviation of the noise, over 255.
    """
    from skimage.restoration import denoise_wavelet

    options = {"method": "BayesShrink", "mode": "soft", "rescale_sigma": True}
    is_colour = image.ndim == 3
    # In YCbCr scikit-image wants values of 0..1, which unclipped noise leaves.
    scaled = np.clip(image / PEAK, 0, 1) if is_colour else image / PEAK
    restored: NDArray[Any] = denoise_wavelet(
        scaled, sigma=sigma, channel_axis=_channel_axis(image), convert2ycbcr=is_colour, **options
    )
    return restored * PEAK


def bilinear_demosaic(mosaic: NDArray[Any]) -> NDArray[Any]:
    """Averages the nearest samples of each colour of a zero-filled mosaic (H, W, 3) in the order GRBG."""
    import cv2

    # OpenCV names the order by the second row's second and third pixel: GRBG is its GB.
    return np.asarray(cv2.cvtColor(quantise(mosaic.max(axis=2)), cv2.COLOR_BayerGB2RGB))


def malvar_demosaic(mosaic: NDArray[Any]) -> NDArray[Any]:
    """Interpolates bilinearly with gradient correction (Malvar et al., 2004) a zero-filled mosaic (H, W, 3), GRBG."""
    return _demosaic_by(_colour_demosaicing().demosaicing_CFA_Bayer_Malvar2004, mosaic)


def menon_demosaic(mosaic: NDArray[Any]) -> NDArray[Any]:
    """Interpolates along the better of two directions (Menon et al., 2007); argument as of `malvar_demosaic`."""
    return _demosaic_by(_colour_demosaicing().demosaicing_CFA_Bayer_Menon2007, mosaic)


def _colour_demosaicing() -> ModuleType:
    with warnings.catch_warnings():
        # Version 0.2.7 imports from SciPy's old `ndimage.filters`.
        warnings.filterwarnings("ignore", "Please import `convolve", DeprecationWarning)
        return importlib.import_module("colour_demosaicing")


def _demosaic_by(function: Callable[[NDArray[Any], str], NDArray[Any]], mosaic: NDArray[Any]) -> NDArray[Any]:
    """Applies a function of colour-demosaicing, inside a margin that carries the Bayer order on.

    Alone it mirrors images on the edge of the outermost pixels, which puts samples of the wrong colour outside.
    """
    samples = np.pad(mosaic.max(axis=2) / PEAK, DEMOSAIC_MARGIN, mode="reflect")
    return cut_border(function(samples, BAYER_ORDER), DEMOSAIC_MARGIN) * PEAK


def _channel_axis(image: NDArray[Any]) -> int | None:
    return 2 if image.ndim == 3 else None
