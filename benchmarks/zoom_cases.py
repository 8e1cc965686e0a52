"""Pictures as the detectors of a trial of zooming see them, and what reading windows of them gives; cached on disk.

What `zoom_aerial.py` measures with. Crops are really cut and run: near the borders of a window, the fine detector finds
other things than in the whole picture. A window is run once for all policies and prices that choose it.
"""

# N detections, W windows of one picture
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from zoom_detectors import SCALE, TRIALS, detections, read_pair

from modicum.detect.boxes import Detections, Objects
from modicum.detect.data.sources import DetectionSource
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.overlaps import Boxes, Numbers
from modicum.detect.pixels import cut_windows, to_image
from modicum.detect.reducing import reduced_shape
from modicum.detect.zoom.caching import BothPasses
from modicum.detect.zoom.calibrating import fit_score_map, pool
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.matching import Matches, match_detections
from modicum.detect.zoom.merging import merge
from modicum.detect.zoom.score_map import IDENTITY, ScoreMap
from modicum.detect.zoom.windows import Grid, Lattice, enumerate_windows

OVERHEAD = 30_000.0  # px: what a window takes beyond its pixels, on this detector; measured on one thread
_FIELDS = ("boxes", "scores", "labels")


class Windows:
    """What the fine detector finds in windows of one picture, in pixels of the picture, scores as they come."""

    def __init__(self, file: Path, image: "Picture", detector: TorchvisionDetector) -> None:
        self._file, self._image, self._detector = file, image, detector
        self._known: dict[tuple[int, ...], Detections] = {}
        if file.exists():
            tensors = load_file(file)
            for name in {key.rpartition("/")[0] for key in tensors}:
                key = tuple(int(edge) for edge in name.split(","))
                self._known[key] = Detections(*(tensors[f"{name}/{field}"] for field in _FIELDS))
        self._saved = len(self._known)

    def read(self, windows: Boxes) -> list[Detections]:
        """Returns what is found in each window (W, 4); runs those that were not run before."""
        keys = [tuple(row) for row in windows.astype(int).tolist()]
        if missing := [key for key in dict.fromkeys(keys) if key not in self._known]:
            crops = cut_windows(self._image.pixels(), missing)
            for key, found in zip(missing, self._detector.detect(crops), strict=True):
                self._known[key] = replace(found.shifted(*key[:2]), features=None)
        return [self._known[key] for key in keys]

    def save(self) -> None:
        """Writes what was found since the file was read."""
        if len(self._known) > self._saved:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            save_file(
                {
                    f"{','.join(map(str, key))}/{field}": getattr(found, field).contiguous().clone()
                    for key, found in self._known.items()
                    for field in _FIELDS
                },
                self._file,
            )
            self._saved = len(self._known)


@dataclass(frozen=True)
class Picture:
    """A picture of a set."""

    source: DetectionSource
    index: int

    def pixels(self) -> Tensor:
        """Decodes it."""
        return to_image(self.source.pixels(self.index))


@dataclass(frozen=True, eq=False)
class Case:
    """A picture and what both detectors of a trial find in it, none of which was trained on it.

    Attributes:
        trial: Name of the trial.
        picture: The picture.
        objects: What is there.
        passes: What is found, scores as they come.
        windows: What is found in windows.
        maps: Calibrate the scores of the coarse and the fine detector.
    """

    trial: str
    picture: Picture
    objects: Objects
    passes: BothPasses
    windows: Windows
    maps: tuple[ScoreMap, ScoreMap] = (IDENTITY, IDENTITY)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.passes.size

    @cached_property
    def grid(self) -> Grid:
        """Cells of the picture."""
        return Grid.of(*self.size)

    @cached_property
    def lattices(self) -> tuple[Lattice, ...]:
        """Windows to choose from."""
        return enumerate_windows(self.grid)

    @cached_property
    def coarse(self) -> Detections:
        """What the coarse detector finds, calibrated."""
        return calibrated(self.passes.coarse, self.maps[0])

    @cached_property
    def fine(self) -> Detections:
        """What the fine detector finds in the whole picture, calibrated."""
        return calibrated(replace(self.passes.fine, features=None), self.maps[1])

    @cached_property
    def matches(self) -> Matches:
        """What looking closer gains."""
        return match_detections(self.coarse, self.fine, self.objects)

    def truth(self) -> BoxGains:
        """Returns the true gains, those of missed objects among them."""
        return BoxGains.of(*self.matches.true_gains(), self.grid)

    def gains(self, of_boxes: Numbers) -> BoxGains:
        """Returns gains of the coarse detections."""
        return BoxGains.of(self.coarse.arrays().boxes, of_boxes, self.grid)

    def answer(self, windows: Boxes) -> Detections:
        """Returns what is found in the end where these windows (W, 4) are read; the whole picture stands alone."""
        if len(windows) == 1 and np.array_equal(windows[0], self.grid.whole):
            return self.fine
        fine = [calibrated(each, self.maps[1]).arrays() for each in self.windows.read(windows)]
        return Detections.of(merge(self.coarse.arrays(), windows, fine, *self.size))

    def share(self, windows: Boxes) -> float:
        """Returns the pixels read, those of the coarse pass included, as a share of the picture's."""
        tall, wide = reduced_shape(self.size[1], self.size[0], SCALE)
        sides = windows[:, 2:] - windows[:, :2]
        return float(tall * wide + np.prod(sides, axis=1).sum()) / self.grid.pixels


def calibrated(found: Detections, scores: ScoreMap) -> Detections:
    """Returns detections with calibrated scores."""
    return replace(found, scores=torch.from_numpy(scores(found.arrays().scores)).float())


def fine_detector(networks: Sequence[torch.nn.Module]) -> TorchvisionDetector:
    """Returns the fine detector of a trial; nobody asks for features of what it finds."""
    return TorchvisionDetector(networks[1].fcos, networks[1].classes, limits=DetectionLimits(features=False))


def cases_of(trial: str, part: str, *, data: Path, trials: Path) -> list[Case]:
    """Returns the pictures of a part of a trial."""
    source, out = TRIALS[trial].source(data), trials / trial
    indices, networks = list(TRIALS[trial].parts(source)[part]), read_pair(out)
    passes = detections(source, indices, networks, out)
    detector = fine_detector(networks)
    cases = []
    for index in indices:
        picture = Picture(source, index)
        windows = Windows(out / "windows" / f"{index}.safetensors", picture, detector)
        cases.append(Case(trial, picture, source.sample(index).objects, passes[index], windows))
    return cases


def fit_maps(cases: Sequence[Case]) -> tuple[ScoreMap, ScoreMap]:
    """Fits the calibration of both detectors."""
    return _fit([each.passes.coarse for each in cases], cases), _fit([each.passes.fine for each in cases], cases)


def _fit(found: Sequence[Detections], cases: Sequence[Case]) -> ScoreMap:
    matches = [match_detections(own, own, case.objects) for own, case in zip(found, cases, strict=True)]
    scores = pool([each.coarse[each.counts] for each in matches])
    return fit_score_map(scores, np.concatenate([each.hits[each.counts] for each in matches]))
