"""Runs an exported DRNet with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds a graph that scores the resolutions, one graph per resolution, and a manifest that says how to
feed them. Images go in at full size; every graph shrinks them itself.
"""

# B batch, n images of one group, R resolutions, K classes, S side of the full image in pixels
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

SYSTEM = "drnet"
PREDICTOR = "predictor"  # the role of the graph that scores; the others are named like the routes
DETAILS = ("classes", "costs", "decision", "knob", "preprocessing", "resolutions")  # of the manifest


class OnnxDRNet:
    """An exported DRNet.

    Args:
        folder: What `modicum.classify.drnet.export.export_drnet` wrote.
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
        self._side: int = details["resolutions"][0]
        self._preprocessing: dict[str, Any] = details["preprocessing"]
        self._relative_costs = np.array(details["decision"]["relative_costs"], np.float64)
        self._decision_macs: float = details["costs"]["decision"]
        self._route_macs = np.array(details["costs"]["per_route"], np.float64)
        self._predictor = GraphRunner(Path(folder), manifest.graphs[PREDICTOR], threads=threads)
        self._backbones = [GraphRunner(Path(folder), manifest.graphs[label], threads=threads) for label in self.labels]

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities (B, R) that the predictor gives to the resolutions; no graph is run on an empty batch."""
        check_images(images, self._side)
        if not len(images):
            return np.empty((0, len(self.labels)), np.float32)
        return self._predictor(images)["scores"]

    def decide(self, scores: NDArray[np.float32], knob: float | None = None) -> NDArray[np.int64]:
        """Returns routes (B,): argmax_j (log pi_j - knob C_j / C_max), in double precision; the first wins ties."""
        knob = self.knob if knob is None else check_knob(knob)
        worth = scores.astype(np.float64) - knob * self._relative_costs
        routes: NDArray[np.int64] = worth.argmax(axis=1)
        return routes

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns logits (B, K) of each image at its resolution; only the graphs of resolutions in use are run."""
        check_images(images, self._side)
        if len(routes) != len(images) or not np.isin(routes, range(len(self.labels))).all():
            raise ValueError(f"routes must be {len(images)} numbers in [0, {len(self.labels)}), got {routes}")
        logits = np.empty((len(images), len(self.classes)), np.float32)
        for route in np.unique(routes):
            rows = np.flatnonzero(routes == route)
            logits[rows] = self._backbones[route](images[rows])["logits"]
        return logits

    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Decides and runs.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: 0 is the paper's decision, a higher one is cheaper; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        routes = self.decide(self.scores(images), knob)
        return RunnerResult(self.run(images, routes), routes, self._route_macs[routes] + self._decision_macs)

    def classify(self, picture: Source, knob: float | None = None) -> Classified:
        """Returns the class of one picture, preprocessed as the network was trained.

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
