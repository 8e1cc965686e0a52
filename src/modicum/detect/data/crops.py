"""Random crops of pictures, at a scale, with the objects in them: what a detector is trained on."""

# B batch, S side of a crop in px, N objects of a crop
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.detect.boxes import Objects, areas
from modicum.detect.data.sources import DetectionSource
from modicum.detect.pixels import resized, to_image
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError

_GROUND = (124, 116, 104)  # ImageNet's mean: beyond a picture, and over what must teach nothing
_LEAST_SIDE_PX = 2.0  # of an object in a crop; smaller ones are not shown as objects
_AROUND = 0.8  # how far from an object the centre of a crop on it may be, in halves of the crop


class Crop(NamedTuple):
    """A crop with its objects."""

    image: Tensor  # (3, S, S) uint8
    boxes: Tensor  # (N, 4) float32, in px of the crop
    labels: Tensor  # (N,) int64


class CropBatch(NamedTuple):
    """What a training step gets."""

    images: Tensor  # (B, 3, S, S) float32, in [0, 1]
    boxes: list[Tensor]  # (N, 4) of each image
    labels: list[Tensor]  # (N,) of each image


@dataclass(frozen=True)
class CropOptions:
    """How crops are drawn.

    Attributes:
        side_px: Side of a crop, as the detector sees it.
        scales: Least and largest scale at which the detector sees pictures: 1 and 1 at full resolution, 1/4 and 1/4 for
            a coarse one; between two scales, one is drawn evenly over their logarithms.
        jitter: The scale is also multiplied by e to the power of a number drawn from minus to plus this.
        flip: Mirror half of the crops.
        brightness: Brightness is multiplied by a number drawn from 1 minus to 1 plus this.
        on_objects: Share of the crops that are drawn around an object; others lie anywhere.
        least_visible: Share of an object that must be in a crop for it to be shown as an object.
    """

    side_px: int = 256
    scales: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.25
    flip: bool = True
    brightness: float = 0.25
    on_objects: float = 0.5
    least_visible: float = 0.4


class CropMaker:
    """Makes crops for `EpochSamples`, each of a picture drawn anew; can be pickled for workers.

    Args:
        source: The pictures.
        indices: Which of its records to draw from.
        options: How crops are drawn.
        keep_bytes: Decoded pictures that are kept in memory take at most this; the rest is decoded again for each crop.
    """

    def __init__(
        self, source: DetectionSource, indices: Sequence[int], options: CropOptions, *, keep_bytes: int = 2**30
    ) -> None:
        if not indices:
            raise DataError(f"no picture of {source.origin} is left to draw crops from")
        self._source, self._indices, self._options = source, tuple(indices), options
        self._kept: dict[int, tuple[Tensor, Objects]] = {}
        self._room = keep_bytes

    def __call__(self, number: int, position: int) -> Crop:
        """Returns a crop that torch's generator draws; raises `DataError` if a picture has gone bad since the scan."""
        index = self._indices[int(torch.randint(len(self._indices), ()))]
        image, objects = self._picture(index)
        return draw_crop(image, objects, self._options)

    def _picture(self, index: int) -> tuple[Tensor, Objects]:
        if index in self._kept:
            return self._kept[index]
        try:
            found = to_image(self._source.pixels(index)), self._source.sample(index).objects
        except BadImageError as error:
            raise DataError(f"{self._source.records[index].id} in {self._source.origin}: {error}") from error
        if found[0].numel() <= self._room:
            self._room -= found[0].numel()
            self._kept[index] = found
        return found


def draw_crop(image: Tensor, objects: Objects, options: CropOptions) -> Crop:
    """Draws a crop of an image (3, H, W), uint8, from torch's generator.

    Where the picture is smaller than the crop, it lies somewhere on a plain ground. Regions of ignored objects are
    painted over, so that they teach neither that there is an object nor that there is none.
    """
    side = options.side_px
    least, largest = map(math.log, options.scales)
    scale = math.exp(_uniform(least, largest) + _uniform(-options.jitter, options.jitter))
    shown = objects.take(~objects.ignore)
    extent = side / scale
    left, top = (
        _draw_start(length, extent, centre)
        for length, centre in zip((image.shape[2], image.shape[1]), _aim(shown, options), strict=True)
    )
    window = _Window(left, top, round(extent))
    picture = resized(window.cut(image, objects.boxes[objects.ignore]), side, side)
    boxes, labels = _objects_in(shown, window, side, options.least_visible)
    if options.flip and _uniform(0, 1) < 0.5:
        picture, boxes = (
            picture.flip(2),
            torch.stack((side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]), 1),
        )
    if options.brightness:
        gain = _uniform(1 - options.brightness, 1 + options.brightness)
        picture = picture.float().mul_(gain).round_().clamp_(0, 255).to(torch.uint8)
    return Crop(picture.contiguous(), boxes, labels)


def collate(crops: Sequence[Crop]) -> CropBatch:
    """Stacks crops to a batch."""
    images = torch.stack([crop.image for crop in crops]).float().div_(255)
    return CropBatch(images, [crop.boxes for crop in crops], [crop.labels for crop in crops])


class _Window(NamedTuple):
    """A square of a picture, in its px; it may reach beyond."""

    left: int
    top: int
    extent: int

    def cut(self, image: Tensor, covered: Tensor) -> Tensor:
        """Returns the pixels (3, extent, extent): ground where there is no picture, and where boxes (N, 4) cover it."""
        height, width = image.shape[-2:]
        right, bottom = self.left + self.extent, self.top + self.extent
        x0, y0, x1, y1 = max(0, self.left), max(0, self.top), min(width, right), min(height, bottom)
        seen = image[:, y0:y1, x0:x1]
        if tuple(seen.shape[1:]) == (self.extent, self.extent) and not len(covered):
            return seen
        ground = torch.tensor(_GROUND, dtype=torch.uint8)
        canvas = ground.repeat(self.extent, self.extent, 1).permute(2, 0, 1)  # resizing is fastest with channels last
        canvas[:, y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left] = seen
        corner = torch.tensor([self.left, self.top] * 2)
        for box in (covered - corner).clamp(0, self.extent).round().long().tolist():
            left, top, right, bottom = box
            canvas[:, top:bottom, left:right] = ground.view(3, 1, 1)
        return canvas


def _aim(shown: Objects, options: CropOptions) -> tuple[float | None, float | None]:
    """Returns the point (x, y) that the crop is to lie around; None for anywhere."""
    if not len(shown) or _uniform(0, 1) >= options.on_objects:
        return None, None
    left, top, right, bottom = shown.boxes[int(torch.randint(len(shown), ()))].tolist()
    return (left + right) / 2, (top + bottom) / 2


def _draw_start(length: int, extent: float, centre: float | None) -> int:
    """Draws where a crop begins along one side of a picture, so that it holds as much of the picture as can be."""
    low, high = sorted((0.0, length - extent))
    if centre is None:
        return round(_uniform(low, high))
    start = centre - extent / 2 + _uniform(-1, 1) * _AROUND * extent / 2
    return round(min(max(start, low), high))


def _objects_in(objects: Objects, window: _Window, side: int, least_visible: float) -> tuple[Tensor, Tensor]:
    corner = torch.tensor([window.left, window.top] * 2, dtype=torch.float32)
    whole = (objects.boxes - corner) * (side / window.extent)
    cut = whole.clamp(0, side)
    visible = areas(cut) >= least_visible * areas(whole)
    keep = visible & ((cut[:, 2:] - cut[:, :2]) >= _LEAST_SIDE_PX).all(1)
    return cut[keep], objects.labels[keep]


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
