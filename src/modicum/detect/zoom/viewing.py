"""Pictures of a part as zooming sees them: looked at once, each window of each picture read once, whatever asks for it.

Policies and baselines differ in the windows that they choose. What the fine detector finds in a window depends on the
picture and the window alone, so that every curve, table and interval is made of crops that were really read.
"""
# N pictures, W windows of one picture

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from modicum.adaptive.costs import CostTable
from modicum.adaptive.evidence import Outcome, Scored
from modicum.datasets.sources import Part
from modicum.detect.average_precision import COCO_THRESHOLDS, AveragePrecision, judge_precision
from modicum.detect.boxes import Detections, Objects
from modicum.detect.pixels import cut_windows
from modicum.detect.reducing import reduced_shape
from modicum.detect.zoom.costs import WindowCosts
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.inference import Look, ZoomDetector, merged
from modicum.detect.zoom.matching import Matches, match_detections
from modicum.detect.zoom.preparation import PreparedPictures
from modicum.detect.zoom.timing import measure_time
from modicum.training.progress import Countdown

log = logging.getLogger(__name__)

Window = tuple[int, int, int, int]

_PICTURES_BYTES = 600_000_000  # of decoded pictures that are kept: a window that was not foreseen decodes one again


@dataclass(eq=False)
class SeenPictures:
    """The pictures of a part, what the coarse pass saw of each, and what was found in windows that were read.

    Attributes:
        zoom: What looks and reads.
        data: The set.
        indices: Of N of its pictures.
        looks: What the coarse pass saw of each.
        objects: What is in each.
    """

    zoom: ZoomDetector
    data: PreparedPictures
    indices: list[int]
    looks: list[Look]
    objects: list[Objects]
    _found: list[dict[Window, Detections]] = field(init=False)
    _matches: dict[int, Matches] = field(init=False, default_factory=dict)
    _images: OrderedDict[int, Tensor] = field(init=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._found = [{} for _ in self.indices]

    @classmethod
    def of(cls, zoom: ZoomDetector, data: PreparedPictures, part: Part) -> "SeenPictures":
        """Looks at every picture of a part, one after another."""
        indices, looks = data.indices(part), []
        countdown = Countdown(f"{part} pictures looked at", len(indices), log.info)
        for index in indices:
            looks += zoom.look([data.image(index)])
            countdown.advance()
        return cls(zoom, data, indices, looks, [data.objects(index) for index in indices])

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the pictures."""
        return tuple(self.data.source.records[index].id for index in self.indices)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each picture."""
        return tuple(look.size for look in self.looks)

    def scored(self, scores: Tensor) -> Scored:
        """Returns scores (N, S) of a policy under the names of the pictures."""
        return Scored(self.ids, scores)

    def image(self, place: int) -> Tensor:
        """Returns picture ``place`` of N, decoded anew where it is not among the last ones."""
        if place not in self._images:
            self._images[place] = self.data.image(self.indices[place])
            while len(self._images) > 1 and sum(each.numel() for each in self._images.values()) > _PICTURES_BYTES:
                self._images.popitem(last=False)
        self._images.move_to_end(place)
        return self._images[place]

    def read(self, place: int, windows: Sequence[Window]) -> list[Detections]:
        """Returns what is found in windows of picture ``place``, in pixels of the picture; each is read once."""
        known = self._found[place]
        missing = [window for window in dict.fromkeys(windows) if window not in known]
        if missing:
            found = self.zoom.read_crops(cut_windows(self.image(place), missing))
            known |= {window: own.shifted(*window[:2]) for window, own in zip(missing, found, strict=True)}
        return [known[window] for window in windows]

    def whole(self, place: int) -> Detections:
        """Returns what the fine detector finds in the whole of picture ``place``."""
        width, height = self.looks[place].size
        return self.read(place, [(0, 0, width, height)])[0]

    def matches(self, place: int) -> Matches:
        """Returns what looking closer at the whole of picture ``place`` gains."""
        if place not in self._matches:
            coarse, objects = self.looks[place].coarse, self.objects[place]
            self._matches[place] = match_detections(coarse, self.whole(place), objects)
        return self._matches[place]

    def true_gains(self, place: int) -> BoxGains:
        """Returns the same as gains of windows, objects that the coarse pass missed included."""
        return BoxGains.of(*self.matches(place).true_gains(), self.looks[place].gains.grid)

    def answer(self, place: int, route: Tensor) -> Detections:
        """Returns what is found in picture ``place`` on a route (1 + W, 4), as prediction finds it."""
        windows = [(left, top, right, bottom) for left, top, right, bottom in route[1:].tolist()]
        return merged(self.looks[place], route[1:].double().numpy(), self.read(place, windows))

    def answers(self, routes: Sequence[Tensor]) -> list[Detections]:
        """Returns what is found in each picture on its route."""
        return [self.answer(place, route) for place, route in enumerate(routes)]

    def outcome(self, thresholds: Sequence[float]) -> Outcome[list[Tensor]]:
        """Returns the average precision of routes at thresholds of overlap."""
        return partial(self._judge, tuple(thresholds))

    def _judge(self, thresholds: tuple[float, ...], routes: list[Tensor]) -> AveragePrecision:
        return judge_precision(self.answers(routes), self.objects, thresholds)


AP50, AP = (0.5,), COCO_THRESHOLDS
"""Thresholds of overlap."""


def pixels_of(zoom: ZoomDetector, sizes: Sequence[tuple[int, int]]) -> WindowCosts:
    """Returns the costs of routes in pixels read; ``sizes`` are those of the pictures that are compared with."""
    return WindowCosts(
        coarse=lambda width, height: float(zoom.coarse_pixels(width, height)),
        fine=lambda width, height: float(width * height),
        images=tuple(sizes),
        unit="px",
    )


def macs_of(zoom: ZoomDetector, sizes: Sequence[tuple[int, int]]) -> CostTable[list[Tensor]] | None:
    """Returns the costs of routes in multiply-adds; None where a detector does not tell its own."""
    width, height = sizes[0]
    if zoom.coarse.macs(*reduced_shape(height, width, zoom.scale)) is None or zoom.fine.macs(height, width) is None:
        return None
    return WindowCosts(
        coarse=lambda width, height: float(zoom.coarse.macs(*reduced_shape(height, width, zoom.scale)) or 0),
        fine=lambda width, height: float(zoom.fine.macs(height, width) or 0),
        images=tuple(sizes),
    )


def milliseconds_of(seen: SeenPictures) -> WindowCosts:
    """Measures the costs of routes in milliseconds on this machine, on the first picture."""
    time = measure_time(seen.zoom, seen.image(0))

    def fixed(width: int, height: int) -> float:
        return time.of(width, height).fixed

    def window(width: int, height: int) -> float:
        return time.model.per_pixel * width * height + time.model.per_window

    return WindowCosts(coarse=fixed, fine=window, images=seen.sizes, unit="ms")


def bare_routes(seen: SeenPictures) -> list[Tensor]:
    """Returns the routes of the coarse pass alone."""
    return [torch.tensor([[0, 0, *size]]) for size in seen.sizes]


def whole_routes(seen: SeenPictures) -> list[Tensor]:
    """Returns the routes on which the fine detector reads whole pictures."""
    return [torch.tensor([[0, 0, *size]] * 2) for size in seen.sizes]
