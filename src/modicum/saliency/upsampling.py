"""Enlarges a small map to its photograph, its edges drawn to those of the photograph; numpy and Pillow alone.

Prediction and the runner of exports both enlarge by these functions, so that they answer alike.

The fast guided filter (K. He, J. Sun, *Fast Guided Filter*, 2015). OpenCV has one only among its contributed modules,
which clash with the distribution that pysodmetrics needs, and the package must predict without either.
"""

# H W size of the photograph in px, h w of the small map, C maps
import numpy as np
from numpy.typing import NDArray
from PIL import Image

GUIDED_ABOVE = 2.0  # times the small map's sides: below that a bilinear map has no coarser edges than the photograph
SIDE_PER_RADIUS = 80  # px of the small map's side for each px of the window's radius: 4 for maps of 320 px, 1 for 64
SMOOTHNESS = 1e-3  # variance of the guide, of full range 1, below which a window counts as flat
_LUMA = (0.299, 0.587, 0.114)
_BAND = 1_000_000  # pixels finished at a time: bounds the memory to some 30 MB whatever the photograph


def enlarge(saliency: NDArray[np.float32], pixels: NDArray[np.uint8], *, is_guided: bool = True) -> NDArray[np.uint8]:
    """Enlarges a map to its photograph's size, (H, W) uint8: guided if that is much larger, else bilinearly.

    Args:
        saliency: The small map, (h, w), in [0, 1].
        pixels: The photograph, (H, W, 3) uint8.
        is_guided: Whether maps of large photographs are drawn to their edges.
    """
    is_large = max(pixels.shape[:2]) > GUIDED_ABOVE * max(saliency.shape)
    return guided_upsample(saliency, pixels) if is_guided and is_large else plain_upsample(saliency, pixels.shape[:2])


def guided_upsample(
    saliency: NDArray[np.float32],
    pixels: NDArray[np.uint8],
    *,
    radius: int | None = None,
    smoothness: float = SMOOTHNESS,
) -> NDArray[np.uint8]:
    """Enlarges the map to the photograph's size, (H, W) uint8, guided by the photograph.

    In each window of the small map, saliency is fitted as ``a I + b`` to the grey level I of the photograph; the
    smoothed a and b are enlarged and applied to the photograph's own pixels.

    Args:
        saliency: The small map, (h, w), in [0, 1].
        pixels: The photograph, (H, W, 3) uint8.
        radius: Radius of the window, at the small map's resolution, px; None chooses it by the map's side: a
            window that is large against the map blurs it.
        smoothness: Regularisation; greater follows the photograph's edges less.
    """
    if radius is None:
        radius = default_radius(min(saliency.shape))
    height, width = pixels.shape[:2]
    slope, offset = _fit(_small_grey(pixels, saliency.shape), saliency.astype(np.float64), radius, smoothness)
    wide = _widened(np.stack([slope, offset]).astype(np.float32), width)
    out = np.empty((height, width), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        slopes, offsets = _rows(wide, height, band)
        out[band] = _to_levels(slopes * _grey(pixels[band]) + offsets)
    return out


def default_radius(side: int) -> int:
    """Returns the radius of the guided filter's window for a map of ``side`` px."""
    return max(1, round(side / SIDE_PER_RADIUS))


def plain_upsample(saliency: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Enlarges the map (h, w), in [0, 1], bilinearly to ``size`` (H, W), as uint8."""
    height, width = size
    wide = _widened(saliency.astype(np.float32)[None], width)
    out = np.empty((height, width), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        out[band] = _to_levels(_rows(wide, height, band)[0])
    return out


def _fit(
    guide: NDArray[np.float64], values: NDArray[np.float64], radius: int, smoothness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns smoothed slopes and offsets, (h, w) each."""
    mean_guide, mean_values = _box(guide, radius), _box(values, radius)
    variance = _box(guide * guide, radius) - mean_guide**2
    slope = (_box(guide * values, radius) - mean_guide * mean_values) / (variance + smoothness)
    return _box(slope, radius), _box(mean_values - slope * mean_guide, radius)


def _box(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Returns means over the part inside the map of windows of side 2 radius + 1."""
    for _ in range(2):  # along the columns, then along the rows
        count = len(values)
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        low = np.maximum(np.arange(count) - radius, 0)
        high = np.minimum(np.arange(count) + radius + 1, count)
        values = ((sums[high] - sums[low]) / (high - low)[:, None]).T
    return values


def _small_grey(pixels: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.float64]:
    height, width = size
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return _grey(np.asarray(small)).astype(np.float64)


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the luma in [0, 1], (H, W)."""
    return np.asarray(pixels @ np.array(_LUMA, np.float32) / np.float32(255), np.float32)


def _widened(maps: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Widens maps (C, h, w) to rows of ``width`` px, bilinearly."""
    low, high, share = _neighbours(maps.shape[2], width, slice(0, width))
    widened: NDArray[np.float32] = maps[:, :, low] + (maps[:, :, high] - maps[:, :, low]) * share
    return widened


def _rows(maps: NDArray[np.float32], height: int, band: slice) -> NDArray[np.float32]:
    """Returns the rows ``band`` of maps (C, h, W) enlarged bilinearly to ``height``."""
    low, high, share = _neighbours(maps.shape[1], height, band)
    rows: NDArray[np.float32] = maps[:, low] + (maps[:, high] - maps[:, low]) * share[:, None]
    return rows


def _neighbours(
    small: int, large: int, wanted: slice
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Returns the samples before and after the centres of enlarged ones, and the weight of the latter."""
    centres = (np.arange(wanted.start, wanted.stop) + 0.5) * (small / large) - 0.5
    centres = centres.clip(0, small - 1)
    low = np.floor(centres).astype(np.int64)
    return low, np.minimum(low + 1, small - 1), (centres - low).astype(np.float32)


def _to_levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the grey levels of values in [0, 1]; values outside are clipped."""
    levels: NDArray[np.uint8] = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    return levels
