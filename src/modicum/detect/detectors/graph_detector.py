"""Runs an exported detector with numpy and ONNX Runtime: the same pixels in, the same detections out (no torch)."""

# B batch, H W size of a picture in px, P Q the same padded, h w places of a level, A anchors, K classes, C channels
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np

from modicum.detect.detectors.graph_boxes import (
    BoxCoding,
    Candidates,
    Picture,
    Seen,
    Singles,
    best_candidates,
    clip_boxes,
    join_candidates,
    place_anchors,
    read_coding,
    relabelled,
    suppress_classes,
)
from modicum.exporting.manifest import Graph
from modicum.exporting.sessions import GraphRunner

Shape: TypeAlias = tuple[int, int]
"""Height and width, in px."""

IMAGES, LEVEL, ROIS, FEATURES = "images", "level", "rois", "features"  # tensors of the graphs
SCORES, NUMBERS = "scores_{}", "numbers_{}"  # of each level: classes, and what makes boxes
DENSE = "dense"  # what the manifest calls this kind of detector
REGIONS = "{} regions"  # role of the graph that averages features over boxes


@dataclass(frozen=True)
class GraphSettings:
    """What the graph of a dense detector does not hold; the manifest has these keys.

    Attributes:
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel.
        size_multiple: Pictures are padded with zeros, below and to the right, to a multiple of this.
        batch_pixels: Pixels that run at once, at least one picture.
        cells: Of each level: anchors (A, 4) around a centre of 0.
        coding: How the numbers of a place become a box.
        min_score: Scores must exceed it.
        candidates: Of each level, before suppression.
        nms_iou: Overlap above which the lower of two detections of a class is dropped.
        max_detections: Of one picture.
        new_labels: The label under which each of the graph's is reported, -1 for none; None reports its own.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_multiple: int
    batch_pixels: int
    cells: tuple[tuple[tuple[float, ...], ...], ...]
    coding: BoxCoding
    min_score: float
    candidates: int
    nms_iou: float
    max_detections: int
    new_labels: tuple[int, ...] | None = None

    def stated(self) -> dict[str, Any]:
        """Returns the settings as plain JSON, for the manifest."""
        return {"kind": DENSE, **asdict(self)}

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> "GraphSettings":
        """Returns the settings that a manifest states; raises KeyError, TypeError or ValueError if they are damaged."""
        given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in stated.items()}
        del given["kind"]
        cells = tuple(tuple(tuple(map(float, anchor)) for anchor in level) for level in stated["cells"])
        return cls(**given | {"cells": cells, "coding": read_coding(stated["coding"])})


@final
class GraphDetector:
    """Detects as the exported detector does. It keeps nothing of a call, so that threads can share it.

    Args:
        folder: Of the export.
        graphs: Its graphs by role.
        role: Of this detector, e.g. "coarse".
        settings: What the manifest states of it.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime.
    """

    def __init__(
        self, folder: Path, graphs: Mapping[str, Graph], role: str, settings: GraphSettings, *, threads: int | None
    ) -> None:
        self.settings, regions = settings, graphs.get(REGIONS.format(role))
        self._graph, self._names = GraphRunner(folder, graphs[role], threads=threads), graphs[role].output_names
        self._regions = None if regions is None else GraphRunner(folder, regions, threads=threads)
        grey = np.arange(256, dtype=np.float32) / np.float32(255)
        mean, std = (np.array(values, np.float32)[:, None] for values in (settings.mean, settings.std))
        self._of_byte: Singles = (grey - mean) / std  # (3, 256): the value of each byte, to the last digit
        self._cells = [np.array(level, np.float32).reshape(-1, 4) for level in settings.cells]

    @property
    def shows_level(self) -> bool:
        """Whether the graph gives the finest level, too."""
        return LEVEL in self._names

    def without_features(self) -> "GraphDetector":
        """Returns the same detector, which tells no features of boxes: what the fine pass needs of a shared graph."""
        plain = copy.copy(self)
        plain._regions = None
        return plain

    def detect(self, pictures: Sequence[Picture]) -> list[Seen]:
        """Returns what the detector finds in each picture (H, W, 3), RGB; pictures of one size share a batch."""
        seen = dict[int, Seen]()
        for places in _batches([picture.shape[:2] for picture in pictures], self.settings.batch_pixels):
            seen.update(zip(places, self._detect([pictures[place] for place in places]), strict=True))
        return [seen[place] for place in range(len(pictures))]

    def prepare(self, pictures: Sequence[Picture]) -> Singles:
        """Returns the input (B, 3, P, Q) of pictures (H, W, 3) of one size: normalised, then padded with zeros."""
        height, width = pictures[0].shape[:2]
        padded = (-(-side // self.settings.size_multiple) * self.settings.size_multiple for side in (height, width))
        batch = np.zeros((len(pictures), 3, *padded), np.float32)
        for place, picture in enumerate(pictures):
            for channel in range(3):
                batch[place, channel, :height, :width] = self._of_byte[channel][picture[..., channel]]
        return batch

    def run(self, batch: Singles) -> dict[str, Singles]:
        """Returns the outputs of the graph for an input (B, 3, P, Q)."""
        return self._graph(batch)

    def read(self, outputs: Mapping[str, Singles], shape: Shape, padded: Shape) -> list[Seen]:
        """Returns the detections that the outputs of the graph for a batch stand for.

        Args:
            outputs: By name.
            shape: Height and width of the pictures.
            padded: P and Q.
        """
        count = len(outputs[SCORES.format(0)])
        picked = [self._pick(outputs, place, shape, padded) for place in range(count)]
        features = self._features(outputs, picked, padded)
        levels = _uncovered(outputs[LEVEL], shape, padded) if LEVEL in outputs else [None] * count
        seen = zip(picked, features, levels, strict=True)
        return [relabelled(Seen(own.found(), each, level), self.settings.new_labels) for own, each, level in seen]

    def _detect(self, pictures: Sequence[Picture]) -> list[Seen]:
        batch, (height, width) = self.prepare(pictures), pictures[0].shape[:2]
        return self.read(self.run(batch), (height, width), (batch.shape[2], batch.shape[3]))

    def _pick(self, outputs: Mapping[str, Singles], place: int, shape: Shape, padded: Shape) -> Candidates:
        """Returns the detections in one picture of a batch."""
        own, levels = self.settings, list[Candidates]()
        for index, cell in enumerate(self._cells):
            scores, numbers = outputs[SCORES.format(index)][place], outputs[NUMBERS.format(index)][place]
            anchors = place_anchors(cell, (scores.shape[1], scores.shape[2]), padded)
            own_scores, own_numbers = (each.transpose(1, 2, 0).reshape(len(anchors), -1) for each in (scores, numbers))
            table = own_scores, own_numbers, anchors
            levels.append(best_candidates(*table, own.coding, min_score=own.min_score, limit=own.candidates))
        found = join_candidates(levels)
        found = found._replace(boxes=clip_boxes(found.boxes, *shape))
        return found.take(suppress_classes(found, own.nms_iou, own.max_detections))

    def _features(
        self, outputs: Mapping[str, Singles], picked: Sequence[Candidates], padded: Shape
    ) -> list[Singles | None]:
        """Returns the mean of the finest level inside each box; None where the export needs none."""
        if self._regions is None:
            return [None] * len(picked)
        level, counts = outputs[LEVEL], [len(each.boxes) for each in picked]
        if not sum(counts):
            return [np.zeros((0, level.shape[1]), np.float32)] * len(picked)
        tall, wide = (np.float32(of / by) for of, by in zip(level.shape[2:], padded, strict=True))
        boxes = np.concatenate([each.boxes for each in picked]) * np.array([wide, tall, wide, tall], np.float32)
        rois = np.concatenate([np.repeat(np.arange(len(picked)), counts)[:, None].astype(np.float32), boxes], axis=1)
        features = self._regions(level, rois)[FEATURES]
        return list(np.split(features, np.cumsum(counts)[:-1]))


def _uncovered(level: Singles, shape: Shape, padded: Shape) -> list[Singles]:
    """Returns the cells (C, h, w) of each picture that are more than padding."""
    tall, wide = (ceil(side * cells / whole) for side, cells, whole in zip(shape, level.shape[2:], padded, strict=True))
    return list(level[:, :, :tall, :wide])


def _batches(shapes: Sequence[tuple[int, ...]], batch_pixels: int) -> Iterator[list[int]]:
    """Yields the places of pictures that run at once: of one shape, and within ``batch_pixels`` unless one exceeds."""
    places = dict[tuple[int, ...], list[int]]()
    for place, shape in enumerate(shapes):
        places.setdefault(shape, []).append(place)
    for (height, width), own in places.items():
        step = max(1, batch_pixels // (height * width))
        yield from (own[start : start + step] for start in range(0, len(own), step))
