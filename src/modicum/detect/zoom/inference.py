"""Zooming in: a coarse pass over reduced images, windows planned for each, one fine pass over all of them, merging.

Gao, Yu, Li, Morariu, Davis: *Dynamic Zoom-in Network for Fast Object Detection in Large Images*, CVPR 2018. The state
changes only by what a window covers and never by what is found there, so all windows are planned before any is read;
crops of all images then run in batches of one shape.
"""
# N detections, W windows of one image, H W size of an image in px

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import (
    Detector,
    MappingDetector,
    check_image,
    group_by_shape,
    in_order,
    require_true_pixels,
)
from modicum.detect.detectors.tiling import detect_whole
from modicum.detect.overlaps import Boxes
from modicum.detect.pixels import cut_windows, reduced
from modicum.detect.reducing import reduced_shape
from modicum.detect.zoom.gain_map import resample_map, spread_gains
from modicum.detect.zoom.gains import (
    BoxGains,
    ImageGains,
    MapGains,
    UntrainedGain,
    remembered_gains,
    untrained_gains,
)
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.merging import merge
from modicum.detect.zoom.planners import DensityPlanner, Planner
from modicum.detect.zoom.planning import TimeModel
from modicum.detect.zoom.rnet import DenseRNet, RNet, predict_gain_map, predict_gains
from modicum.detect.zoom.score_map import IDENTITY, ScoreMap

GainSource: TypeAlias = UntrainedGain | RNet | DenseRNet
"""What tells gains: a network in evaluation mode on the CPU, or a formula where none was trained."""

T = TypeVar("T")
_Seen: TypeAlias = tuple[Detections, Tensor | None]


class TimeSplit(NamedTuple):
    """Milliseconds that an image took; a batch's passes are shared out among its images by pixels."""

    coarse: float  # reducing the image and detecting in it
    plan: float  # predicting gains and planning windows
    fine: float
    merge: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self)


@dataclass(frozen=True, eq=False)
class Look:
    """What the coarse pass saw of one image.

    Attributes:
        size: Width and height of the image.
        coarse: What was found, in pixels of the full image, with calibrated scores, however low.
        gains: What windows promise.
        pixels: That the coarse detector read.
        coarse_ms: What the coarse pass took.
        gains_ms: What predicting gains took.
    """

    size: tuple[int, int]
    coarse: Detections
    gains: ImageGains
    pixels: int
    coarse_ms: float
    gains_ms: float


class ZoomPlan(NamedTuple):
    """The windows of one image that are going to be read."""

    windows: Boxes  # (W, 4), in whole pixels; the whole image stands alone
    ms: float = 0.0  # that planning took


@dataclass(frozen=True, eq=False)
class ZoomAnswer:
    """What was found in one image, and at what cost.

    Attributes:
        size: Width and height of the image.
        found: The merged detections, in descending order of score, however low; without features.
        windows: Shape (W, 4): what the fine detector read.
        gain: What they promised.
        pixels: That both detectors read, overlaps counted each time.
        times: Where the time went.
    """

    size: tuple[int, int]
    found: Detections
    windows: Boxes
    gain: float
    pixels: int
    times: TimeSplit

    @property
    def share(self) -> float:
        """Pixels read as a share of the image's; above 1 where the whole image was read after the coarse pass."""
        return self.pixels / (self.size[0] * self.size[1])


@dataclass(frozen=True)
class MeasuredTime:
    """A `TimeModel` that was measured on images of one size; the coarse pass is taken to grow with the pixels.

    Attributes:
        model: For images of that size.
        pixels: Of such an image.
    """

    model: TimeModel
    pixels: int

    def of(self, width: int, height: int) -> TimeModel:
        """Returns the model for images of another size."""
        return self.model._replace(fixed=self.model.fixed * width * height / self.pixels)


@dataclass(frozen=True, eq=False)
class ZoomDetector:
    """Detects objects in large images by looking closer only where that pays; threads may share it.

    Attributes:
        coarse: Sees images reduced by ``scale``; reports scores down to 0.01 where it can.
        fine: Sees windows at full resolution; finds the same classes.
        scale: Of the coarse pass, in (0, 1).
        gains: What tells the gain of looking closer.
        planner: What chooses windows.
        coarse_scores: Calibrates the scores of the coarse detector.
        fine_scores: Calibrates those of the fine detector.
        time: Predicts milliseconds; needed for ``max_ms`` alone. `modicum.detect.zoom.timing.measure_time` measures it.
        tile: Largest height and width that the fine detector runs at once where the whole image is read; None for any.

    Raises:
        ValueError: If ``scale`` is out of range, the detectors find different classes, the fine one squeezes images,
            or the dense R-net gets no features from the coarse one.
    """

    coarse: Detector
    fine: Detector
    scale: float = 0.25
    gains: GainSource = "entropy"
    planner: Planner = field(default_factory=DensityPlanner)
    coarse_scores: ScoreMap = IDENTITY
    fine_scores: ScoreMap = IDENTITY
    time: MeasuredTime | None = None
    tile: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale < 1:
            raise ValueError(f"scale must be between 0 and 1, got {self.scale}: 0.25 reads one pixel in sixteen")
        if self.coarse.classes != self.fine.classes:
            raise ValueError(
                f"both detectors must find the same classes, got {self.coarse.classes} and {self.fine.classes}"
            )
        require_true_pixels(self.fine)
        if isinstance(self.gains, DenseRNet) and not isinstance(self.coarse, MappingDetector):
            raise ValueError("the dense R-net needs features of the coarse pass, as detectors of torchvision give them")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label of a detection is an index into them."""
        return self.coarse.classes

    def coarse_pixels(self, width: int, height: int) -> int:
        """Returns how many pixels the coarse detector reads of an image."""
        tall, wide = self.coarse.squeezes_to or reduced_shape(height, width, self.scale)
        return tall * wide

    @torch.inference_mode()
    def look(self, images: Sequence[Tensor], last: Sequence[Detections | None] | None = None) -> list[Look]:
        """Runs the coarse pass over images (3, H, W), uint8, in batches of one shape.

        Args:
            images: Of any sizes.
            last: For each image, what was found in the frame before it; its objects count as promising where the
                coarse pass does not see them. None where there is no such frame.
        """
        for image in images:
            check_image(image)
        begin = perf_counter()
        seen = self._see([reduced(image, self.scale) for image in images])
        pixels = [self.coarse_pixels(image.shape[2], image.shape[1]) for image in images]
        shares = _share_out((perf_counter() - begin) * 1e3, pixels)
        remembered = [None] * len(images) if last is None else last
        return [
            self._look(image, each, before, ms)
            for image, each, before, ms in zip(images, seen, remembered, shares, strict=True)
        ]

    def plan(self, looks: Sequence[Look], limit: ZoomLimit) -> list[ZoomPlan]:
        """Plans which windows of each image to read.

        Raises:
            BudgetError: If the coarse pass alone exceeds a limit of pixels, or time is limited and was not measured.
        """
        return [self._plan(look, limit) for look in looks]

    @torch.inference_mode()
    def read(self, images: Sequence[Tensor], looks: Sequence[Look], plans: Sequence[ZoomPlan]) -> list[ZoomAnswer]:
        """Reads windows of images at full resolution, those of all images in batches of one shape, and merges.

        Where a plan is the whole image, the answer is that of the fine detector alone.

        Args:
            images: Each (3, H, W), uint8.
            looks: What the coarse pass saw of each.
            plans: What to read of each.
        """
        crops = [
            crop
            for image, plan in zip(images, plans, strict=True)
            for crop in cut_windows(image, plan.windows.astype(int).tolist())
        ]
        begin = perf_counter()
        found = iter(self.read_crops(crops))
        shares = iter(_share_out((perf_counter() - begin) * 1e3, [crop.shape[1] * crop.shape[2] for crop in crops]))
        answers = []
        for look, plan in zip(looks, plans, strict=True):
            own = [next(found).shifted(left, top) for left, top, *_ in plan.windows.tolist()]
            answers.append(_answer(look, plan, own, sum(next(shares) for _ in own)))
        return answers

    def detect(
        self, images: Sequence[Tensor], limit: ZoomLimit, last: Sequence[Detections | None] | None = None
    ) -> list[ZoomAnswer]:
        """Looks, plans and reads; see these methods."""
        looks = self.look(images, last)
        return self.read(images, looks, self.plan(looks, limit))

    def _see(self, images: Sequence[Tensor]) -> list[_Seen]:
        """Runs the coarse detector; with its features where the dense R-net sees them."""
        if isinstance(self.gains, DenseRNet) and isinstance(self.coarse, MappingDetector):
            return list(_by_shape(self.coarse.detect_with_maps, images))
        return [(found, None) for found in _by_shape(self.coarse.detect, images)]

    def _look(self, image: Tensor, seen: _Seen, last: Detections | None, coarse_ms: float) -> Look:
        begin = perf_counter()
        (height, width), (found, features) = image.shape[-2:], seen
        tall, wide = reduced_shape(height, width, self.scale)
        coarse = calibrated(found.scaled(width / wide, height / tall), self.coarse_scores)
        gains = self._gains(coarse, features, width, height)
        if last is not None:
            gains = _with_remembered(gains, coarse, last)
        gains_ms = (perf_counter() - begin) * 1e3
        return Look((width, height), coarse, gains, self.coarse_pixels(width, height), coarse_ms, gains_ms)

    def _gains(self, coarse: Detections, features: Tensor | None, width: int, height: int) -> ImageGains:
        grid = self.planner.layout.grid(width, height)
        if isinstance(self.gains, DenseRNet):
            assert features is not None
            return MapGains(grid, resample_map(predict_gain_map(self.gains, features), grid))
        if isinstance(self.gains, RNet):
            gains = predict_gains(self.gains, coarse, width, height)
        else:
            gains = untrained_gains(coarse.scores.double().numpy(), self.gains)
        return BoxGains.of(coarse.arrays().boxes, gains, grid)

    def _plan(self, look: Look, limit: ZoomLimit) -> ZoomPlan:
        begin = perf_counter()
        time = None if self.time is None else self.time.of(*look.size)
        windows = self.planner.windows(look.gains, limit, look.pixels, time)
        return ZoomPlan(windows, (perf_counter() - begin) * 1e3)

    def read_crops(self, crops: Sequence[Tensor]) -> list[Detections]:
        """Returns what the fine detector finds in crops (3, h, w), uint8, in their pixels, with calibrated scores.

        A crop that does not fit runs in tiles.
        """
        if self.tile is None:
            found = _by_shape(self.fine.detect, crops)
        else:
            fits = [crop.shape[1] <= self.tile[0] and crop.shape[2] <= self.tile[1] for crop in crops]
            together = iter(_by_shape(self.fine.detect, [crop for crop, fit in zip(crops, fits, strict=True) if fit]))
            found = [
                next(together) if fit else detect_whole(self.fine, crop, tile=self.tile)
                for crop, fit in zip(crops, fits, strict=True)
            ]
        return [calibrated(each, self.fine_scores) for each in found]


def _by_shape(detect: Callable[[Sequence[Tensor]], Sequence[T]], images: Sequence[Tensor]) -> list[T]:
    """Detects in images of any sizes, with one call for each shape, and returns the answers in order."""
    found: dict[int, T] = {}
    for _, places in group_by_shape(images):
        found.update(zip(places, detect([images[place] for place in places]), strict=True))
    return in_order(found)


def merged(look: Look, windows: Boxes, fine: Sequence[Detections]) -> Detections:
    """Returns the detections of an image, in descending order of score, without features.

    Args:
        look: What the coarse pass saw; the whole image as the only window replaces all of it.
        windows: Shape (W, 4): what the fine detector read.
        fine: What it found in each, in pixels of the image.
    """
    if len(windows) == 1 and np.array_equal(windows[0], look.gains.grid.whole):
        return replace(fine[0].best_first(), features=None)
    return Detections.of(merge(look.coarse.arrays(), windows, [each.arrays() for each in fine], *look.size))


def calibrated(found: Detections, scores: ScoreMap) -> Detections:
    """Returns detections with calibrated scores."""
    if scores is IDENTITY:
        return found
    return replace(found, scores=torch.from_numpy(scores(found.scores.double().numpy())).float())


def _with_remembered(gains: ImageGains, coarse: Detections, last: Detections) -> ImageGains:
    """Adds what the last frame showed and the coarse pass does not see now."""
    boxes, more = remembered_gains(last.arrays(), coarse.arrays())
    if isinstance(gains, MapGains):
        return MapGains(gains.grid, gains.cells + spread_gains(boxes, more, gains.grid))
    return BoxGains.of(np.concatenate([gains.boxes, boxes]), np.concatenate([gains.gains, more]), gains.grid)


def _answer(look: Look, plan: ZoomPlan, fine: Sequence[Detections], fine_ms: float) -> ZoomAnswer:
    begin = perf_counter()
    windows, rest = plan.windows, look.gains
    found = merged(look, windows, fine)
    for window in windows:
        rest = rest.without(window)
    pixels = look.pixels + round(float(np.prod(windows[:, 2:] - windows[:, :2], axis=1).sum()))
    times = TimeSplit(look.coarse_ms, look.gains_ms + plan.ms, fine_ms, (perf_counter() - begin) * 1e3)
    return ZoomAnswer(look.size, found, windows, look.gains.total() - rest.total(), pixels, times)


def _share_out(ms: float, pixels: Sequence[int]) -> list[float]:
    """Divides milliseconds of a batch among its parts by their pixels."""
    return [ms * each / max(sum(pixels), 1) for each in pixels]
