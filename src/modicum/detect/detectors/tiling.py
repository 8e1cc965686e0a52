"""Detection on a whole image that does not fit at once: overlapping tiles, each of which answers for its middle."""

# H W size of an image in px, N detections
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import Detector
from modicum.detect.pixels import cut_windows

SEAM_IOU = 0.5  # of two detections of a class, found from both sides of a seam, of which the better one stays


def detect_whole(
    detector: Detector, image: Tensor, *, tile: tuple[int, int] | None = None, overlap: float = 0.25
) -> Detections:
    """Detects on a whole image (3, H, W), uint8, in tiles where it is larger than a tile.

    A tile reports the objects whose centres are nearer to its middle than to that of a neighbour, so that one wholly
    inside the overlap is reported once and uncut. Objects longer than the overlap may be cut.

    Args:
        detector: What detects.
        image: The image.
        tile: Largest height and width that are run at once; None for any.
        overlap: Of neighbouring tiles, as a share of a tile, in [0, 1).
    """
    height, width = image.shape[-2:]
    if tile is None or (height <= tile[0] and width <= tile[1]):
        return detector.detect([image])[0]
    rows, columns = (tile_starts(length, size, overlap) for length, size in zip((height, width), tile, strict=True))
    tall, wide = min(tile[0], height), min(tile[1], width)
    windows = [(x, y, x + wide, y + tall) for y in rows for x in columns]
    cores = [(*x, *y) for y in _cores(rows, tall, height) for x in _cores(columns, wide, width)]
    found = []
    for window, core in zip(windows, cores, strict=True):  # one by one, as they are many where memory is short
        (part,) = detector.detect(cut_windows(image, [window]))
        found.append(_in_core(part.shifted(*window[:2]), core))
    joined = Detections.join(found)
    return joined.take(batched_nms(joined.boxes, joined.scores, joined.labels, SEAM_IOU)).best_first()


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """Returns where tiles begin that cover a side of an image, evenly spaced, overlapping by a share of a tile or more.

    Example:
        >>> tile_starts(1920, 960, 0.25), tile_starts(500, 960, 0.25)
        ([0, 480, 960], [0])
    """
    if length <= tile:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    count = -(-(length - tile) // step) + 1
    return [round(number * (length - tile) / (count - 1)) for number in range(count)]


def _cores(starts: Sequence[int], tile: int, length: int) -> list[tuple[float, float]]:
    """Returns the stretch that each tile answers for, up to the middles of its overlaps."""
    seams = [(one + tile + other) / 2 for one, other in pairwise(starts)]
    return list(zip([0.0, *seams], [*seams, float(length)], strict=True))


def _in_core(found: Detections, core: tuple[float, float, float, float]) -> Detections:
    """Returns the detections whose centres lie in a core, given as its edges along x and along y."""
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    low, high = torch.tensor([core[0], core[2]]), torch.tensor([core[1], core[3]])
    return found.take(((centre >= low) & (centre < high)).all(1))
