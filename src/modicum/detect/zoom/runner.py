"""Runs an exported zooming detector with numpy, ONNX Runtime and Pillow alone: the reference for ports.

The manifest holds the settings of both detectors, the maps of scores and the planner as plain data; graphs hold the
detectors up to their heads, R-net and the Q-net. Planning and merging are the code that runs beside PyTorch, too.
"""

# H W size of a picture in px, N detections, W windows of one picture
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.detect.detectors.declared_graph import DECLARED, DeclaredGraph, DeclaredSettings
from modicum.detect.detectors.graph_boxes import Picture, Seen, Singles
from modicum.detect.detectors.graph_detector import GraphDetector, GraphSettings
from modicum.detect.overlaps import Boxes, Found, Numbers
from modicum.detect.reducing import reduce_pixels, reduced_shape
from modicum.detect.zoom.gain_map import resample_map
from modicum.detect.zoom.gains import BoxGains, ImageGains, MapGains, UntrainedGain, untrained_gains
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.merging import merge
from modicum.detect.zoom.onnx_gains import GAIN_MAP, GAINS, OnnxFixedQnet, OnnxQnet, box_geometry
from modicum.detect.zoom.planners import DensityPlanner, Layout, Planner, SlidingWindows, SpacedWindows, ValuePlanner
from modicum.detect.zoom.planning import TimeModel
from modicum.detect.zoom.rungs import price_of_rung
from modicum.detect.zoom.score_map import ScoreMap
from modicum.exporting.classifiers import read_knob
from modicum.exporting.manifest import MANIFEST_NAME, Manifest, read_manifest
from modicum.exporting.parity import ExportError
from modicum.exporting.sessions import GraphRunner
from modicum.imaging.pictures import Source, read_pixels

SYSTEM = "zoom"
COARSE, FINE = "coarse", "fine"  # roles of the graphs of detectors
RNET, DENSE_RNET, QNET_MAPS, QNET_HEAD, QNET = "R-net", "dense R-net", "Q-net maps", "Q-net head {}", "Q-net"
DETAILS = ("classes", "coarse", "fine", "gains", "knob", "planner", "scale", "scores")  # of the manifest


class OnnxLook(NamedTuple):
    """What the coarse pass saw of one picture."""

    size: tuple[int, int]  # width and height
    coarse: Found  # in pixels of the full picture, with calibrated scores
    gains: ImageGains
    pixels: int  # that the coarse detector read


class OnnxAnswer(NamedTuple):
    """What was found in one picture, and what was read of it."""

    size: tuple[int, int]  # width and height
    found: Found  # in descending order of score, however low
    windows: Boxes  # (W, 4)
    pixels: int  # that both detectors read, overlaps counted each time

    @property
    def share(self) -> float:
        """Pixels read as a share of the picture's."""
        return self.pixels / (self.size[0] * self.size[1])


class OnnxZoom:
    """An exported zooming detector; threads may share it.

    Args:
        folder: What `modicum.detect.zoom.export.export_zoom` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.
        time: Predicts milliseconds of a picture on this machine; needed for ``max_ms`` alone.

    Raises:
        ExportError: If the folder is not such an export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None, time: TimeModel | None = None) -> None:
        self._folder, self._threads, self.time = Path(folder), threads, time
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        self.price: float = read_knob(manifest.details, self._folder)
        try:
            self._open(manifest, manifest.details)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{self._folder / MANIFEST_NAME} is damaged ({type(error).__name__}: {error}): export again"
            ) from error

    def _open(self, manifest: Manifest, details: Mapping[str, Any]) -> None:
        self.scale: float = details["scale"]
        self._classes = tuple(map(str, details["classes"]))
        self.coarse = self._detector(manifest, COARSE)
        self.shares_weights: bool = details["fine"] == COARSE  # one detector has both roles
        self.fine = _without_features(self.coarse) if self.shares_weights else self._detector(manifest, FINE)
        self._scores = {role: _read_score_map(details["scores"][role]) for role in (COARSE, FINE)}
        self._gains: str = details["gains"]
        self.rnet = self._graph(manifest, self._gains) if self._gains in (RNET, DENSE_RNET) else None
        self.qnet: OnnxQnet | OnnxFixedQnet | None = None
        self.planner: Planner = self._planner(manifest, details["planner"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label of a detection is an index into them."""
        return self._classes

    def find(self, picture: Source, limit: ZoomLimit | None = None, *, min_score: float = 0.0) -> OnnxAnswer:
        """Returns the objects in one picture.

        Args:
            picture: A path, the bytes of a file, a PIL image, or an array (H, W, 3) uint8.
            limit: How far to zoom in; None for the price that was exported.
            min_score: Of the detections that are returned.

        Raises:
            BadImageError: If the picture cannot be read or used.
        """
        (answer,) = self.detect([read_pixels(picture)], limit)
        return answer._replace(found=answer.found.take(answer.found.scores >= min_score))

    def detect(self, pictures: Sequence[Picture], limit: ZoomLimit | None = None) -> list[OnnxAnswer]:
        """Looks at pictures (H, W, 3), plans, and reads; see these methods."""
        looks = self.look(pictures)
        return self.read(pictures, looks, self.plan(looks, limit))

    def look(self, pictures: Sequence[Picture]) -> list[OnnxLook]:
        """Runs the coarse pass over pictures (H, W, 3), uint8, RGB, of any sizes.

        Raises:
            ValueError: If a picture is of another shape or type.
        """
        for each in pictures:
            if each.ndim != 3 or each.shape[2] != 3 or each.dtype != np.uint8 or not each.size:
                raise ValueError(f"a picture must be (H, W, 3) uint8 with pixels, got {each.shape} {each.dtype}")
        sizes = [(each.shape[1], each.shape[0]) for each in pictures]
        small = [reduce_pixels(each, *reduced_shape(each.shape[0], each.shape[1], self.scale)) for each in pictures]
        seen = self.coarse.detect(small)
        return [self._look(size, each.shape, own) for size, each, own in zip(sizes, small, seen, strict=True)]

    def plan(self, looks: Sequence[OnnxLook], limit: ZoomLimit | None = None) -> list[Boxes]:
        """Plans which windows (W, 4) of each picture to read; the whole picture stands alone.

        Raises:
            BudgetError: If the coarse pass alone exceeds a limit of pixels, or time is limited and not predicted.
        """
        limit = limit or ZoomLimit(price=self.price)
        return [self.planner.windows(each.gains, limit, each.pixels, self.time) for each in looks]

    def read(
        self, pictures: Sequence[Picture], looks: Sequence[OnnxLook], windows: Sequence[Boxes]
    ) -> list[OnnxAnswer]:
        """Reads windows of pictures at full resolution, those of all pictures in batches of one shape, and merges."""
        crops = [
            picture[top:bottom, left:right]
            for picture, own in zip(pictures, windows, strict=True)
            for left, top, right, bottom in own.astype(int).tolist()
        ]
        seen = iter(self.fine.detect(crops))
        return [
            self._answer(look, own, [_shifted(next(seen).found, left, top) for left, top, *_ in own.tolist()])
            for look, own in zip(looks, windows, strict=True)
        ]

    def _look(self, size: tuple[int, int], small: tuple[int, ...], seen: Seen) -> OnnxLook:
        (width, height), (tall, wide) = size, small[:2]
        factors = np.array([width / wide, height / tall] * 2, np.float32)
        boxes = (seen.found.boxes.astype(np.float32) * factors).astype(np.float64)
        coarse = self._calibrated(seen.found._replace(boxes=boxes), COARSE)
        return OnnxLook(size, coarse, self._gains_of(coarse, seen, width, height), tall * wide)

    def _gains_of(self, coarse: Found, seen: Seen, width: int, height: int) -> ImageGains:
        grid = self.planner.layout.grid(width, height)
        if self.rnet is None:
            kind: UntrainedGain = "entropy" if self._gains == "entropy" else "score"
            return BoxGains.of(coarse.boxes, untrained_gains(coarse.scores.astype(np.float64), kind), grid)
        if self._gains == DENSE_RNET:
            assert seen.level is not None  # the export has it where it has the dense R-net
            cells = self.rnet(seen.level[None])[GAIN_MAP][0].astype(np.float64)
            return MapGains(grid, resample_map(cells, grid))
        gains: Numbers = np.zeros(0)
        if len(coarse.boxes):
            inputs: list[NDArray[Any]] = [*box_geometry(coarse, width, height)]
            gains = self.rnet(*inputs, *([] if seen.features is None else [seen.features]))[GAINS].astype(np.float64)
        return BoxGains.of(coarse.boxes, gains, grid)

    def _answer(self, look: OnnxLook, windows: Boxes, found: Sequence[Found]) -> OnnxAnswer:
        (width, height), fine = look.size, [self._calibrated(each, FINE) for each in found]
        if len(windows) == 1 and np.array_equal(windows[0], look.gains.grid.whole):
            merged = fine[0].take(np.argsort(-fine[0].scores, kind="stable"))
        else:
            merged = merge(look.coarse, windows, fine, width, height)
        read = round(float(np.prod(windows[:, 2:] - windows[:, :2], axis=1).sum()))
        return OnnxAnswer(look.size, merged, windows, look.pixels + read)

    def _calibrated(self, found: Found, role: str) -> Found:
        return found._replace(scores=self._scores[role](found.scores.astype(np.float64)).astype(np.float32))

    def _detector(self, manifest: Manifest, role: str) -> GraphDetector | DeclaredGraph:
        if manifest.details[role]["kind"] == DECLARED:
            stated, path = DeclaredSettings.read(manifest.details[role]), self._folder / manifest.graphs[role].file
            labels = stated.new_labels
            return DeclaredGraph(path, path, stated.declaration, new_labels=labels, threads=self._threads)
        settings = GraphSettings.read(manifest.details[role])
        return GraphDetector(self._folder, manifest.graphs, role, settings, threads=self._threads)

    def _graph(self, manifest: Manifest, role: str) -> GraphRunner:
        return GraphRunner(self._folder, manifest.graphs[role], threads=self._threads)

    def _planner(self, manifest: Manifest, stated: Mapping[str, Any]) -> Planner:
        layout, is_refined = _read_layout(stated["layout"]), stated["is_refined"]
        if stated["kind"] == "density":
            return DensityPlanner(layout, stated["with_whole"], is_refined, stated["overhead"])
        if stated["qnet"] == "fixed":
            self.qnet = OnnxFixedQnet(self._graph(manifest, QNET))
        else:
            roles = [QNET_HEAD.format(size) for size in range(1, stated["num_sizes"] + 1)]
            heads = [self._graph(manifest, role) for role in roles]
            maps, is_residual = self._graph(manifest, QNET_MAPS), stated["qnet"] == "residual"
            self.qnet = OnnxQnet(maps, heads, is_residual=is_residual)
        prices, used = stated["prices"], stated["used"]
        price_at = partial(price_of_rung, prices, used) if prices else float
        return ValuePlanner(self.qnet.values_of, layout, price_at, is_refined)


def _without_features(detector: GraphDetector | DeclaredGraph) -> GraphDetector | DeclaredGraph:
    return detector.without_features() if isinstance(detector, GraphDetector) else detector


def _read_score_map(stated: Mapping[str, Any]) -> ScoreMap:
    return ScoreMap(*(np.array(stated[side], np.float64) for side in ("before", "after")))


def _read_layout(stated: Mapping[str, Any]) -> Layout:
    if stated["kind"] == "spaced":
        return SpacedWindows()
    return SlidingWindows(tuple((float(width), float(height)) for width, height in stated["sizes"]), stated["columns"])


def _shifted(found: Found, left: float, top: float) -> Found:
    corner: Singles = np.array([left, top, left, top], np.float32)
    return found._replace(boxes=(found.boxes.astype(np.float32) + corner).astype(np.float64))
