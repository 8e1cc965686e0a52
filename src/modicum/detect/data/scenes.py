"""The embedded default: drawn marks on large textured grounds, in two clusters a picture.

Most of a picture holds nothing to find, so that detection everywhere is wasteful by construction; many marks are too
small to be told from distractors at a quarter of the size. Figures on such pictures say whether everything works, and
nothing about photographs.
"""

# S side of a picture in px, N marks, P side of the patch of a mark in px
import io
from functools import partial
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modicum.datasets.contents import content_digest
from modicum.datasets.sources import PARTS
from modicum.detect.boxes import Objects
from modicum.detect.data.grounds import draw_ground
from modicum.detect.data.sources import BoxFaults, DetectionSource, Record, Sample
from modicum.storage.errors import DataError

SMALLEST_SIDE = 256
_DRAWING = "scattered marks 1"  # another number where other pixels are drawn
CLASSES = ("ring", "cross")
_KINDS = (*CLASSES, "disc", "square")  # what follows the classes are distractors
_SIZE_AT_1536 = (12.0, 120.0)  # extent of a mark, px, spread evenly over its logarithm
_CLUSTERS = 2
_IN_CLUSTER = (5, 12)  # marks of the classes in a cluster
_SPREAD = 0.07  # standard deviation of places in a cluster, in sides
_DISTRACTORS = (8, 16)
_ROOM = 1.15  # distance of two marks, in sums of their half extents
_TRIES = 30  # for a place that is free; a mark without one is left out
_CONTRAST = (45.0, 110.0)  # of a mark to the ground, of 255


class _Mark(NamedTuple):
    """A mark of some kind, in px."""

    kind: int
    x: float
    y: float
    size: float
    colour: NDArray[np.float64]  # (3,), added to the ground


@final
class ScatteredMarks(DetectionSource):
    """Pictures that are drawn when they are asked for: picture i depends on the seed and on i alone.

    Args:
        side: Height and width of a picture, px; at least 256.
        seed: The same seed gives the same pictures.
        sizes: Number of train, calibration and test pictures.

    Raises:
        DataError: If the side is too small or a part is empty.
    """

    def __init__(self, side: int = 1536, seed: int = 0, sizes: tuple[int, int, int] = (40, 20, 20)) -> None:
        if side < SMALLEST_SIDE or min(sizes) < 1:
            raise DataError(
                f"marks need side >= {SMALLEST_SIDE} and at least one picture per part, got {side}, {sizes}"
            )
        self._side, self._seed = side, seed
        self.origin = "embedded:scattered-marks"
        self.classes = CLASSES
        self.name = (
            f"drawn rings and crosses in two clusters on {side}x{side} px of drawn texture, with distractors, seed "
            f"{seed}: made so that looking everywhere is wasteful"
        )
        self.records = tuple(
            Record(f"{part}/{number:05d}", part)
            for part, size in zip(PARTS, sizes, strict=True)
            for number in range(size)
        )

    def sample(self, index: int) -> Sample:
        """Returns a picture with its marks; its file is a PNG. See `DetectionSource.sample`."""
        record, marks = self.records[index], self._marks(index)
        shown = [mark for mark in marks if mark.kind < len(CLASSES)]
        edges = [
            (mark.x - mark.size / 2, mark.y - mark.size / 2, mark.x + mark.size / 2, mark.y + mark.size / 2)
            for mark in shown
        ]
        objects = Objects(
            torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
            torch.tensor([mark.kind for mark in shown], dtype=torch.int64),
            torch.zeros(len(shown), dtype=torch.bool),
        )
        return Sample(record.id, partial(self._encode, index), (self._side, self._side), objects)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Draws a picture; see `DetectionSource.pixels`."""
        canvas = draw_ground(np.random.default_rng((self._seed, index, 1)), self._side, self._side)
        for mark in self._marks(index):
            _draw_mark(canvas, mark)
        return np.asarray(np.rint(canvas.clip(0, 255)), np.uint8)

    def faults(self, index: int) -> BoxFaults:
        """Returns no faults; see `DetectionSource.faults`."""
        return BoxFaults()

    def digest(self, index: int) -> str:
        """Returns the digest of what determines the pixels, as drawing takes long; see `DetectionSource.digest`."""
        return content_digest(f"{_DRAWING}, {self._side} px, seed {self._seed}, picture {index}".encode())

    def _encode(self, index: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(self.pixels(index)).save(stream, "PNG", compress_level=1)
        return stream.getvalue()

    def _marks(self, index: int) -> list[_Mark]:
        return _scatter(np.random.default_rng((self._seed, index, 0)), self._side)


def _scatter(rng: np.random.Generator, side: int) -> list[_Mark]:
    """Draws kinds, places and sizes of the marks of a picture, none of which overlap."""
    marks: list[_Mark] = []
    for centre in rng.uniform(0.15, 0.85, (_CLUSTERS, 2)):
        for _ in range(rng.integers(*_IN_CLUSTER, endpoint=True)):
            _add_mark(marks, int(rng.integers(len(CLASSES))), centre, _SPREAD, rng, side)
    for _ in range(rng.integers(*_DISTRACTORS, endpoint=True)):
        _add_mark(marks, int(rng.integers(len(CLASSES), len(_KINDS))), None, 0, rng, side)
    return marks


def _add_mark(
    marks: list[_Mark],
    kind: int,
    centre: NDArray[np.float64] | None,
    spread: float,
    rng: np.random.Generator,
    side: int,
) -> None:
    """Adds a mark near a centre, in sides, or anywhere, where there is room for it."""
    size = float(np.exp(rng.uniform(*np.log(_SIZE_AT_1536)))) * side / 1536
    colour = rng.choice((-1, 1)) * rng.uniform(*_CONTRAST) * rng.uniform(0.6, 1, 3)
    for _ in range(_TRIES):
        place = rng.uniform(0, 1, 2) if centre is None else centre + spread * rng.standard_normal(2)
        x, y = (float(each) for each in (place * side).clip(size / 2 + 1, side - size / 2 - 1))
        if all(max(abs(x - o.x), abs(y - o.y)) > _ROOM * (size + o.size) / 2 for o in marks):
            marks.append(_Mark(kind, x, y, size, colour))
            return


def _draw_mark(canvas: NDArray[np.float32], mark: _Mark) -> None:
    """Adds the colour of a mark to the pixels that it covers; only a patch around it is looked at."""
    reach = mark.size / 2 + 1
    left, top = (max(0, int(edge - reach)) for edge in (mark.x, mark.y))
    patch = canvas[top : int(mark.y + reach) + 1, left : int(mark.x + reach) + 1]
    down, across = (np.arange(count) + 0.5 for count in patch.shape[:2])
    dy, dx = (down + top - mark.y)[:, None], (across + left - mark.x)[None]
    patch += (_coverage(mark, dx, dy)[..., None] * mark.colour).astype(np.float32)


def _coverage(mark: _Mark, dx: NDArray[np.floating], dy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the share of each pixel that a mark covers, (P, P), from distances to its centre."""
    half, bar = mark.size / 2, mark.size / 6
    radius, extent = np.hypot(dx, dy), np.maximum(abs(dx), abs(dy))
    kind = _KINDS[mark.kind]
    if kind == "ring":
        inside = np.minimum(half - radius, radius - half * 0.55)
    elif kind == "cross":
        inside = np.minimum(half - extent, bar - np.minimum(abs(dx), abs(dy)))
    elif kind == "disc":
        inside = half - radius
    else:
        inside = half - extent
    return np.asarray(np.clip(inside + 0.5, 0, 1), np.float64)
