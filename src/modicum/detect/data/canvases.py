"""Small pictures made into a large one: reduced, and pasted on a drawn ground, so that objects are small in it."""

# H W size of a canvas in px
import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modicum.datasets.contents import content_digest
from modicum.datasets.sources import Part
from modicum.detect.boxes import Objects
from modicum.detect.data.grounds import draw_ground
from modicum.detect.data.sources import BoxFaults, DetectionSource, Record, Sample
from modicum.storage.errors import DataError

_TRIES = 40  # for a place that is free; a picture without one is left out
_GAP_PX = 8  # between pictures


class _Pasted(NamedTuple):
    """A picture of the source on a canvas."""

    picture: int
    left: int
    top: int
    width: int
    height: int


@final
class PastedCanvases(DetectionSource):
    """Canvases on which a few pictures of another set lie, reduced; no picture is on canvases of two parts.

    A canvas depends on the seed, on its number and on the pictures of its part alone. Most of it is empty, so that
    detection everywhere is wasteful by construction.

    Args:
        source: The pictures, all of whose objects are kept.
        parts: Indices of its records that the canvases of each part may show.
        sizes: Number of canvases of each part.
        size: Width and height of a canvas, px.
        pictures: Least and largest number of pictures on a canvas.
        reduction: Least and largest factor by which a picture is reduced, in (0, 1].
        seed: The same seed gives the same canvases.

    Raises:
        DataError: If a part has no pictures, or a number is impossible.
    """

    def __init__(
        self,
        source: DetectionSource,
        parts: Mapping[Part, Sequence[int]],
        sizes: Mapping[Part, int],
        *,
        size: tuple[int, int] = (1920, 1080),
        pictures: tuple[int, int] = (3, 6),
        reduction: tuple[float, float] = (0.15, 0.4),
        seed: int = 0,
    ) -> None:
        if not 0 < reduction[0] <= reduction[1] <= 1 or not 1 <= pictures[0] <= pictures[1] or min(size) < 64:
            raise DataError(
                "canvases need reduction in (0, 1], at least one picture and 64 px, each pair in rising order, got "
                f"{reduction}, {pictures} and {size}"
            )
        if empty := [part for part, count in sizes.items() if count and not parts.get(part)]:
            raise DataError(f"no pictures of {source.origin} are given for the canvases of {' and '.join(empty)}")
        self._source, self._size, self._seed = source, size, seed
        self._pictures, self._reduction = pictures, reduction
        self._parts = {part: tuple(indices) for part, indices in parts.items()}
        self.origin, self.unread = source.origin, source.unread
        self.classes = source.classes
        self.name = (
            f"pictures of {source.name}, reduced and pasted on drawn grounds of {size[0]}x{size[1]} px, seed {seed}"
        )
        self.records = tuple(
            Record(f"{part}/{number:05d}", part) for part, count in sizes.items() for number in range(count)
        )

    def sample(self, index: int) -> Sample:
        """Returns a canvas with the objects of its pictures; its file is a PNG. See `DetectionSource.sample`."""
        found = [self._moved(each) for each in self._layout(index)]
        objects = Objects(
            torch.cat([each.boxes for each in found]),
            torch.cat([each.labels for each in found]),
            torch.cat([each.ignore for each in found]),
        )
        return Sample(self.records[index].id, partial(self._encode, index), self._size, objects)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Composes a canvas; see `DetectionSource.pixels`."""
        width, height = self._size
        ground = draw_ground(np.random.default_rng((self._seed, index, 1)), height, width)
        canvas = np.asarray(np.rint(ground.clip(0, 255)), np.uint8)
        for each in self._layout(index):
            picture = Image.fromarray(self._source.pixels(each.picture))
            small = picture.resize((each.width, each.height), Image.Resampling.LANCZOS)
            canvas[each.top : each.top + each.height, each.left : each.left + each.width] = np.asarray(small)
        return canvas

    def faults(self, index: int) -> BoxFaults:
        """Counts the faulty boxes of the pictures on a canvas; see `DetectionSource.faults`."""
        return sum((self._source.faults(each.picture) for each in self._layout(index)), BoxFaults())

    def digest(self, index: int) -> str:
        """Returns the digest of the pixels; see `DetectionSource.digest`."""
        return content_digest(self.pixels(index).tobytes())

    def _layout(self, index: int) -> list[_Pasted]:
        """Draws which pictures lie where, none of them on another."""
        rng = np.random.default_rng((self._seed, index, 0))
        pool = self._parts[self.records[index].split or "train"]
        count = min(len(pool), int(rng.integers(*self._pictures, endpoint=True)))
        placed: list[_Pasted] = []
        for place in rng.choice(len(pool), count, replace=False).tolist():
            width, height = self._source.sample(pool[place]).size
            factor = float(np.exp(rng.uniform(*np.log(self._reduction))))
            factor = min(factor, *(of / (by + 1) for of, by in zip(self._size, (width, height), strict=True)), 1.0)
            small = max(1, round(width * factor)), max(1, round(height * factor))
            for _ in range(_TRIES):
                left, top = (int(rng.integers(0, of - by + 1)) for of, by in zip(self._size, small, strict=True))
                pasted = _Pasted(pool[place], left, top, *small)
                if not any(_touch(pasted, other) for other in placed):
                    placed.append(pasted)
                    break
        return placed

    def _moved(self, pasted: _Pasted) -> Objects:
        """Returns the objects of a picture where they are on the canvas."""
        sample = self._source.sample(pasted.picture)
        across, down = pasted.width / sample.size[0], pasted.height / sample.size[1]
        scale = torch.tensor([across, down, across, down])
        corner = torch.tensor([pasted.left, pasted.top] * 2, dtype=torch.float32)
        return Objects(sample.objects.boxes * scale + corner, sample.objects.labels, sample.objects.ignore)

    def _encode(self, index: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(self.pixels(index)).save(stream, "PNG", compress_level=1)
        return stream.getvalue()


def _touch(one: _Pasted, other: _Pasted) -> bool:
    across = one.left < other.left + other.width + _GAP_PX and other.left < one.left + one.width + _GAP_PX
    return across and one.top < other.top + other.height + _GAP_PX and other.top < one.top + one.height + _GAP_PX
