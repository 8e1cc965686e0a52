"""Runs an exported static family with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds one graph per member and a manifest that says how to feed them.
"""

# B batch, n images of one group, M members, K classes, S side of the images in pixels
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.pictures import Classified, RunnerResult, check_images, name_answer, read_input
from modicum.exporting.classifiers import read_knob
from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.imaging.pictures import Source

SYSTEM = "static"
DETAILS = ("classes", "costs", "decision", "image_px", "knob", "preprocessing")  # of the manifest


class OnnxStatic:
    """An exported static family.

    Args:
        folder: What `modicum.classify.static.export.export_static` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is not such an export, is of a newer version, or was changed.
        MissingExtraError: If ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        details = manifest.details
        self.classes: tuple[str, ...] = tuple(details["classes"])
        self.knob: float = read_knob(details, Path(folder))
        self.labels: tuple[str, ...] = tuple(details["costs"]["labels"])
        self._side: int = details["image_px"]
        self._preprocessing: dict[str, Any] = details["preprocessing"]
        self._relative_costs = np.array(details["decision"]["relative_costs"], np.float64)
        self._route_macs = np.array(details["costs"]["per_route"], np.float64)
        self._members = [GraphRunner(Path(folder), manifest.graphs[label], threads=threads) for label in self.labels]

    def decide(self, count: int, knob: float | None = None) -> NDArray[np.int64]:
        """Returns routes (B,) of ``count`` images: all the most expensive member whose share is at most 1 - knob."""
        knob = self.knob if knob is None else check_knob(knob)
        within = np.flatnonzero(self._relative_costs <= 1 - knob)  # they fall, so the first is the dearest
        return np.full(count, within[0] if len(within) else len(self.labels) - 1, np.int64)

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns logits (B, K) of each image by its member; only the graphs of members in use are run."""
        check_images(images, self._side)
        if len(routes) != len(images) or not np.isin(routes, range(len(self.labels))).all():
            raise ValueError(f"routes must be {len(images)} numbers in [0, {len(self.labels)}), got {routes}")
        logits = np.empty((len(images), len(self.classes)), np.float32)
        for route in np.unique(routes):
            rows = np.flatnonzero(routes == route)
            logits[rows] = self._members[route](images[rows])["logits"]
        return logits

    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Runs all images through one member.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: 0 is the most expensive member, 1 the cheapest; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        routes = self.decide(len(images), knob)
        return RunnerResult(self.run(images, routes), routes, self._route_macs[routes])

    def classify(self, picture: Source, knob: float | None = None) -> Classified:
        """Returns the class of one picture, preprocessed as the members were trained.

        Args:
            picture: A path, the bytes of a file, a PIL image, or an array (H, W, 3) uint8.
            knob: As of `predict`.

        Raises:
            BadImageError: If the picture cannot be read or used.
            KnobError: If ``knob`` is not a finite number.
        """
        result = self.predict(read_input(picture, self._preprocessing), knob)
        route, plain_macs = self.labels[result.routes[0]], float(self._route_macs.max())
        return name_answer(result, classes=self.classes, route=route, plain_macs=plain_macs)
