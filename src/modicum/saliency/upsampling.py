"""A small map at the full resolution of its photograph, its edges drawn to those of the photograph.

The fast guided filter (K. He, J. Sun, *Fast Guided Filter*, 2015). OpenCV has one only among its contributed modules,
which clash with the distribution that pysodmetrics needs, and the package must predict without either.
"""

# H W size of the photograph in px, h w of the small map
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SIDE_PER_RADIUS = 80  # px of the small map's side for each px of the window's radius: 4 for maps of 320 px, 1 for 64
SMOOTHNESS = 1e-3  # variance of the guide, of full range 1, below which a window counts as flat
_LUMA = (0.299, 0.587, 0.114)
_BAND = 1_000_000  # pixels finished at a time: bounds the memory to some 30 MB whatever the photograph


def guided_upsample(
    saliency: Tensor, pixels: NDArray[np.uint8], *, radius: int | None = None, smoothness: float = SMOOTHNESS
) -> NDArray[np.uint8]:
    """The map at the photograph's size, (H, W) uint8.

    In each window of the small map, saliency is fitted as ``a I + b`` to the grey level I of the photograph; the
    smoothed a and b are enlarged and applied to the photograph's own pixels.

    Args:
        saliency: The small map, (h, w), in [0, 1].
        pixels: The photograph, (H, W, 3) uint8.
        radius: Of the window, at the small map's resolution, px; None takes one that goes with the map's side: a
            window that is large against the map blurs it.
        smoothness: Regularisation; greater follows the photograph's edges less.
    """
    height, width = pixels.shape[:2]
    if radius is None:
        radius = default_radius(min(saliency.shape[-2:]))
    small_guide = _small_grey(pixels, saliency.shape[-2:])
    slope, offset = _fit(small_guide, saliency.float()[None, None], radius, smoothness)
    coefficients = torch.cat([slope, offset], dim=1)
    out = np.empty((height, width), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = _rows_of_enlarged(coefficients, (height, width), top, bottom)
        grey = torch.from_numpy(_grey(pixels[top:bottom]))
        fitted = band[0].mul_(grey).add_(band[1])
        out[top:bottom] = fitted.clamp_(0, 1).mul_(255).round_().to(torch.uint8).numpy()
    return out


def default_radius(side: int) -> int:
    """Radius of the guided filter's window for a map of ``side`` px."""
    return max(1, round(side / SIDE_PER_RADIUS))


def plain_upsample(saliency: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The map (h, w), in [0, 1], at ``size`` (H, W), bilinear, as uint8."""
    full = F.interpolate(saliency.float()[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return full.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


def _fit(guide: Tensor, values: Tensor, radius: int, smoothness: float) -> tuple[Tensor, Tensor]:
    """Smoothed slopes and offsets, (1, 1, h, w) each."""
    mean_guide, mean_values = _box(guide, radius), _box(values, radius)
    variance = _box(guide * guide, radius) - mean_guide**2
    slope = (_box(guide * values, radius) - mean_guide * mean_values) / (variance + smoothness)
    return _box(slope, radius), _box(mean_values - slope * mean_guide, radius)


def _box(maps: Tensor, radius: int) -> Tensor:
    """Means over windows of side 2 radius + 1, of what lies inside the map."""
    return F.avg_pool2d(maps, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)


def _small_grey(pixels: NDArray[np.uint8], size: torch.Size) -> Tensor:
    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)[None]
    small = F.interpolate(image, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
    return torch.from_numpy(_grey(small[0].permute(1, 2, 0).numpy()))[None, None]


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma in [0, 1], (H, W)."""
    return np.asarray(pixels @ np.array(_LUMA, np.float32) / np.float32(255), np.float32)


def _rows_of_enlarged(maps: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows ``top`` to ``bottom`` of maps (1, C, h, w) enlarged bilinearly to ``size``, (C, bottom - top, W)."""
    height, width = size
    wide = F.interpolate(maps, size=(maps.shape[2], width), mode="bilinear", align_corners=False)[0]
    place = ((torch.arange(top, bottom) + 0.5) * (maps.shape[2] / height) - 0.5).clamp(0, maps.shape[2] - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(maps.shape[2] - 1)
    share = (place - low)[None, :, None]
    return torch.lerp(wide[:, low], wide[:, high], share.expand(-1, -1, 1))
