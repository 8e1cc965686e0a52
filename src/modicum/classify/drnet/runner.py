"""Runs an exported DRNet with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds a graph that scores the resolutions, one graph per resolution, and a manifest that says how to
feed them. Images go in at full size; every graph shrinks them itself.
"""

# B batch, n images of one group, R resolutions, K classes, S side of the full image in pixels
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.pictures import ExportedClassifier, RunnerResult, check_images, run_groups
from modicum.exporting.parity import ExportError

SYSTEM = "drnet"
PREDICTOR = "predictor"  # the role of the graph that scores; the others are named like the routes
DETAILS = ("classes", "costs", "decision", "knob", "preprocessing", "resolutions")  # of the manifest


class OnnxDRNet(ExportedClassifier):
    """An exported DRNet with a predictor; `modicum.classify.cascade.runner.OnnxCascade` runs one without.

    Args:
        folder: What `modicum.classify.drnet.export.export_drnet` wrote.
        threads: As of `ExportedClassifier`, which also says what is raised.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        super().__init__(folder, SYSTEM, DETAILS, threads=threads)
        if PREDICTOR not in self._graphs:
            raise ExportError(
                f"{folder} decides by confidence, without a predictor: run it with "
                'modicum.classify.cascade.runner.OnnxCascade(folder, system="drnet")'
            )
        costs, decision = self._details["costs"], self._details["decision"]
        self.labels: tuple[str, ...] = tuple(costs["labels"])
        self._relative_costs = np.array(decision["relative_costs"], np.float64)
        self._decision_macs: float = costs["decision"]
        self._route_macs = np.array(costs["per_route"], np.float64)
        self._plain_macs = float(self._route_macs.max())
        self._predictor = self._load(PREDICTOR)
        self._backbones = [self._load(label) for label in self.labels]

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
        return run_groups(self._backbones, images, routes, len(self.classes))

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

    def name_route(self, result: RunnerResult) -> str:
        """Names the resolution that answered the first image."""
        return self.labels[int(result.routes[0])]
