"""Runs an exported static family with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds one graph per member and a manifest that says how to feed them.
"""

# B batch, n images of one group, M members, K classes, S side of the images in pixels
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.pictures import ExportedClassifier, RunnerResult, check_images, run_groups

SYSTEM = "static"
DETAILS = ("classes", "costs", "decision", "image_px", "knob", "preprocessing")  # of the manifest


class OnnxStatic(ExportedClassifier):
    """An exported static family.

    Args:
        folder: What `modicum.classify.static.export.export_static` wrote.
        threads: As of `ExportedClassifier`, which also says what is raised.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        super().__init__(folder, SYSTEM, DETAILS, threads=threads)
        costs, decision = self._details["costs"], self._details["decision"]
        self.labels: tuple[str, ...] = tuple(costs["labels"])
        self._relative_costs = np.array(decision["relative_costs"], np.float64)
        self._route_macs = np.array(costs["per_route"], np.float64)
        self._plain_macs = float(self._route_macs.max())
        self._members = [self._load(label) for label in self.labels]

    def decide(self, count: int, knob: float | None = None) -> NDArray[np.int64]:
        """Returns routes (B,) of ``count`` images: all the most expensive member whose share is at most 1 - knob."""
        knob = self.knob if knob is None else check_knob(knob)
        within = np.flatnonzero(self._relative_costs <= 1 - knob)  # they fall, so the first is the most expensive
        return np.full(count, within[0] if len(within) else len(self.labels) - 1, np.int64)

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns logits (B, K) of each image by its member; only the graphs of members in use are run."""
        check_images(images, self._side)
        return run_groups(self._members, images, routes, len(self.classes))

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

    def name_route(self, result: RunnerResult) -> str:
        """Names the member that answered the first image."""
        return self.labels[int(result.routes[0])]
