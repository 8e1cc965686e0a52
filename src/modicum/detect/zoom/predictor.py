"""From what a user holds (a path, a picture, an array, frames of a video) to the objects in it."""
# H W size of a picture in px

import math
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from modicum.adaptive.knobs import BudgetError, check_knob
from modicum.detect.pixels import to_image
from modicum.detect.zoom.answers import Reporting, Zoomed, number_categories
from modicum.detect.zoom.inference import Look, ZoomAnswer, ZoomDetector, ZoomPlan
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.timing import measure_time
from modicum.imaging.belongings import Belongings
from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Source, name_of, read_picture
from modicum.prediction import PICTURE_KINDS, Advanced, Failure, Limits, Pending, pend

COARSE, FINE = "coarse pass", "windows"  # the steps


class _Read(NamedTuple):
    name: str
    pixels: NDArray[np.uint8]
    belongings: Belongings

    @property
    def image(self) -> Tensor:
        """The picture as detectors take it, (3, H, W)."""
        return to_image(self.pixels)


class _Planned(NamedTuple):
    read: _Read
    look: Look
    plan: ZoomPlan


class Predictor:
    """Finds objects in pictures of any size; call it with one, or use `predict_all` for many.

    Args:
        zoom: What detects.
        limit: How far to zoom in, unless a call names a knob: a price.
        reporting: What is reported; None reports all classes, from a score of 0.3.

    Raises:
        BudgetError: If the coarse pass reads a larger share of pictures than the limit allows.
    """

    def __init__(self, zoom: ZoomDetector, limit: ZoomLimit, *, reporting: Reporting | None = None) -> None:
        if limit.max_pixels is not None and limit.max_pixels <= 1:  # a share that no picture's coarse pass keeps
            limit.budget(1000 * 1000, zoom.coarse_pixels(1000, 1000))
        self._zoom, self.limit = zoom, limit
        self.reporting = reporting or Reporting(zoom.classes, number_categories(zoom.classes))
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """Accepts pictures of any size; the knob is the price, in gained objects per picture of pixels."""
        return Limits(PICTURE_KINDS, smallest_px=1, knobs=(0.0, math.inf))

    def __call__(self, image: Source, *, knob: float | None = None) -> Zoomed:
        """Finds the objects in one picture: a path, the bytes of a file, a PIL image, or an array.

        Raises:
            BadImageError: If it cannot be read, or its coarse pass alone exceeds a limit of pixels.
        """
        found = next(self.predict_all([image], knob=knob, batch_size=1))
        if isinstance(found, Failure):
            raise BadImageError(str(found))
        return found

    def predict_all(
        self, images: Iterable[Source], *, knob: float | None = None, batch_size: int = 4
    ) -> Iterator[Zoomed | Failure]:
        """Yields what is found in each picture, in order; pictures that cannot be read give a `Failure`.

        So do those whose coarse pass alone exceeds a limit of pixels.

        Args:
            images: Pictures in any of the forms that a call takes.
            knob: The price, at least 0; None is the predictor's own limit.
            batch_size: Pictures that share a coarse pass, and whose windows share the fine one.

        Raises:
            ValueError: If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        limit = self._limit(knob)
        read = map(_read, count(), images)
        while batch := list(islice(read, batch_size)):
            looked = iter(self._look([each for each in batch if isinstance(each, _Read)], limit))
            planned = [each if isinstance(each, Failure) else next(looked) for each in batch]
            answers = iter(self._read_windows([each for each in planned if isinstance(each, _Planned)]))
            for each in planned:
                yield each if isinstance(each, Failure) else next(answers)

    def follow(self, frames: Iterable[NDArray[np.uint8]], *, name: str = "frame") -> Iterator[Zoomed]:
        """Yields what is found in each frame (H, W, 3) of a video, in order.

        Objects that were reported in one frame are looked for in the next, also where its coarse pass misses them.

        Args:
            frames: RGB, uint8.
            name: What answers are called, each with the number of its frame.
        """
        last = None
        for number, pixels in enumerate(frames):
            read = _Read(f"{name} {number}", pixels, Belongings())
            (answer,) = self._ready(read.image).detect([read.image], self.limit, [last])
            found = self._told(read, answer)
            last = found.found
            yield found

    def start(self, images: Iterable[Source]) -> list[Pending[_Read] | Failure]:
        """Reads pictures, which wait for the coarse pass then; see `modicum.prediction.Predictor`."""
        return pend(map(_read, count(), images), lambda _: COARSE, is_decided=False)

    def advance(self, pendings: Sequence[Pending[_Read | _Planned]], *, knob: float | None = None) -> Advanced:
        """Runs the coarse pass over pictures, or reads the windows of some; see `modicum.prediction.Predictor`.

        Raises:
            ValueError: If they wait for different steps.
        """
        if len({pending.group for pending in pendings}) != 1:
            raise ValueError("pictures must wait for the same step to take it together")
        if pendings[0].group == COARSE:
            return self._plan(pendings, self._limit(knob))
        planned = [pending.state for pending in pendings if isinstance(pending.state, _Planned)]
        found = self._read_windows(planned)
        return Advanced([(pending.item, each) for pending, each in zip(pendings, found, strict=True)], [])

    def _plan(self, pendings: Sequence[Pending[_Read | _Planned]], limit: ZoomLimit) -> Advanced:
        """Looks at pictures and plans their windows; those of which nothing needs a closer look are finished."""
        planned = self._look([pending.state for pending in pendings if isinstance(pending.state, _Read)], limit)
        finished, survivors = list[tuple[Hashable, Zoomed | Failure]](), list[Pending[_Planned]]()
        for pending, each in zip(pendings, planned, strict=True):
            if isinstance(each, Failure):
                finished.append((pending.item, each))
            elif len(each.plan.windows):
                survivors.append(Pending(pending.item, FINE, each))
            else:
                (answer,) = self._read_windows([each])
                finished.append((pending.item, answer))
        return Advanced(finished, survivors)

    def _limit(self, knob: float | None) -> ZoomLimit:
        return self.limit if knob is None else ZoomLimit(price=check_knob(knob))

    def _look(self, read: Sequence[_Read], limit: ZoomLimit) -> list[_Planned | Failure]:
        """Looks at pictures and plans their windows; one whose coarse pass alone exceeds the limit is a failure."""
        if not read:
            return []
        zoom = self._ready(read[0].image) if limit.needs_time else self._zoom
        planned = list[_Planned | Failure]()
        for each, look in zip(read, zoom.look([each.image for each in read]), strict=True):
            try:
                planned.append(_Planned(each, look, *zoom.plan([look], limit)))
            except BudgetError as error:
                planned.append(Failure(each.name, str(error)))
        return planned

    def _read_windows(self, planned: Sequence[_Planned]) -> list[Zoomed]:
        """Reads the planned windows of all pictures together."""
        answers = self._zoom.read(
            [each.read.image for each in planned], [each.look for each in planned], [each.plan for each in planned]
        )
        return [self._told(each.read, answer) for each, answer in zip(planned, answers, strict=True)]

    def _told(self, read: _Read, answer: ZoomAnswer) -> Zoomed:
        return Zoomed(read.name, read.pixels, answer, self.reporting, read.belongings)

    def _ready(self, image: Tensor) -> ZoomDetector:
        """Returns the detector with its time measured, if that is limited: on the first picture, once."""
        if self.limit.needs_time and self._zoom.time is None:
            with self._lock:
                if self._zoom.time is None:  # another thread may have measured meanwhile
                    self._zoom = replace(self._zoom, time=measure_time(self._zoom, image))
        return self._zoom


def _read(place: int, image: Source) -> _Read | Failure:
    name = name_of(image, place)
    try:
        picture = read_picture(image)
    except BadImageError as error:
        return Failure(name, str(error))
    return _Read(name, picture.pixels, picture.belongings)
