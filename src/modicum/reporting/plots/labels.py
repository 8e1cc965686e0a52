"""Labels in a plot, each beside what it names, none upon another."""

# L points of lines, C candidate places; boxes are (left, bottom, right, top) in pixels
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from numpy.typing import NDArray

from modicum.reporting.plots.drawing import MUTED
from modicum.storage.names import printable

Floats = NDArray[np.float64]
Place = tuple[float, float]

_RADII = np.array([8.0, 12.0, 20.0, 32.0, 46.0, 64.0, 88.0, 116.0])
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_SPOT = np.array([11.0, 11.0])  # what a mark covers
_LEADER_FROM = 16.0  # beyond this distance a thin line leads from the label to its place


@dataclass(frozen=True)
class Label:
    """Text that belongs to a place in a plot.

    Attributes:
        text: What to write.
        anchors: Places (x, y) in the coordinates of the data; beside any of them will do.
        colour: Of the text.
        weight: Of the font.
    """

    text: str
    anchors: tuple[Place, ...]
    colour: str
    weight: str = "normal"


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    *,
    lines: Sequence[Sequence[Place]],
    spots: Sequence[Place] = (),
    avoidance: float = 3.0,
) -> None:
    """Writes each label where it hides least of the lines, spots and other labels; the layout is then final.

    Args:
        axes: Where to write, with its limits set.
        labels: The most important first: each takes the best place that those before it left.
        lines: What should stay visible, as points in the coordinates of the data, one sequence per line.
        spots: Single points, with marks upon them, that must stay visible.
        avoidance: How many pixels further away a label goes to spare three pixels of a line.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None  # only axes that were removed have none
    figure.draw_without_rendering()  # only now is it known how many pixels a unit of the data takes
    figure.set_layout_engine("none")
    to_pixels = axes.transData.transform
    busy = np.concatenate([_densify(to_pixels(line)) for line in lines if len(line)] or [np.empty((0, 2))])
    frame = np.array(axes.get_window_extent().extents)
    placed = [_box(spot, _SPOT) for spot in to_pixels(spots)] if spots else []
    for label in labels:
        anchors, size = to_pixels(label.anchors), _measure(axes, label)
        number, centre = _best_place(anchors, size, busy, frame, placed, avoidance)
        placed.append(_box(centre, size))
        _write(axes, label, label.anchors[number], offset=centre - anchors[number], size=size)


def _best_place(
    anchors: Floats, size: Floats, busy: Floats, frame: Floats, placed: Sequence[Floats], avoidance: float
) -> tuple[int, Floats]:
    """Returns the anchor's index and the centre of the text in pixels: the nearest of the places that hide least."""
    numbers, radii, angles = (grid.ravel() for grid in np.meshgrid(range(len(anchors)), _RADII, _ANGLES, indexing="ij"))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres = anchors[numbers] + (size / 2 + radii[:, None]) * directions
    boxes = _box(centres, size)
    roomy = boxes + np.array([-2, -1, 2, 1])
    outside = np.prod(size) - _overlap(boxes, frame)
    overlap = sum((_overlap(roomy, other) for other in placed), start=np.zeros(len(boxes)))
    best = int(np.argmin(radii + avoidance * _count_inside(roomy, busy) + 10 * overlap + 10 * outside))
    return int(numbers[best]), centres[best]


def _count_inside(boxes: Floats, points: Floats) -> Floats:
    """Counts the points in each box, (C,); takes C x L bytes, some hundred kilobytes."""
    left, bottom, right, top = boxes.T[:, :, None]
    x, y = points.T
    inside = (x > left) & (x < right) & (y > bottom) & (y < top)
    return np.asarray(inside.sum(axis=1), dtype=np.float64)


def _overlap(boxes: Floats, other: Floats) -> Floats:
    """Returns the area that each box shares with another one, (C,)."""
    sides = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2])
    return np.asarray(np.maximum(sides, 0).prod(axis=1), dtype=np.float64)


def _box(centres: Floats, size: Floats) -> Floats:
    """Returns boxes of one size around centres (..., 2)."""
    return np.concatenate([centres - size / 2, centres + size / 2], axis=-1)


def _densify(points: Floats) -> Floats:
    """Returns points every few pixels along the line through ``points`` (L, 2), without those that are not finite."""
    points = points[np.isfinite(points).all(axis=1)]
    pieces = [points[-1:]]
    for start, end in itertools.pairwise(points):
        steps = max(int(np.hypot(*(end - start)) // 3), 1)
        pieces.append(start + (end - start) * np.arange(steps)[:, None] / steps)
    return np.concatenate(pieces)


def _measure(axes: Axes, label: Label) -> Floats:
    """Measures the width and height of the text in pixels."""
    text = axes.text(0, 0, printable(label.text), weight=label.weight)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _write(axes: Axes, label: Label, place: Place, *, offset: Floats, size: Floats) -> Annotation:
    figure = axes.get_figure(root=True)
    assert figure is not None
    # How far the nearest edge of the text is from its place.
    distance = float(np.hypot(*np.maximum(np.abs(offset) - size / 2, 0)))
    leader = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    return axes.annotate(
        printable(label.text),
        place,
        xytext=tuple(offset * 72 / figure.dpi),
        textcoords="offset points",
        ha="center",
        va="center",
        color=label.colour,
        weight=label.weight,
        arrowprops=leader if distance > _LEADER_FROM else None,
        annotation_clip=False,
    )
