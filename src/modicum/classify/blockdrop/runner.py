"""Runs an exported BlockDrop with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds the policy network, one graph per droppable block and one for each shortcut that computes
anything, the pieces that always run, and a manifest that says in which order they follow one another. It may also hold
whole networks for policies that occur often.
"""

# B batch, U droppable blocks, F frequent policies, K classes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.pictures import ExportedClassifier, RunnerResult, check_images
from modicum.exporting.sessions import GraphRunner

SYSTEM = "blockdrop"
POLICY = "policy"  # the role of the graph that scores
DETAILS = ("classes", "costs", "decision", "frequent", "image_px", "knob", "preprocessing", "steps")  # of the manifest

_Features = NDArray[np.float32]


class _Step(NamedTuple):
    """One graph of the chain."""

    run: GraphRunner
    unit: int | None  # the number of the droppable block; None for what always runs
    shortcut: GraphRunner | None  # what a dropped row runs; None where it stays as it is


class OnnxBlockDrop(ExportedClassifier):
    """An exported BlockDrop.

    Args:
        folder: What `modicum.classify.blockdrop.export.export_blockdrop` wrote.
        threads: As of `ExportedClassifier`, which also says what is raised. None takes all cores for each graph: name a
            number where there are many blocks and many cores.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        super().__init__(folder, SYSTEM, DETAILS, threads=threads)
        details = self._details
        self._thresholds = np.array(details["decision"]["thresholds"], np.float64)
        self._unit_macs = np.array(details["costs"]["per_unit"], np.float64)
        self._decision_macs: float = details["costs"]["decision"]
        self._fixed_macs: float = details["costs"]["floor"] + self._decision_macs
        self._plain_macs: float = details["costs"]["floor"] + sum(details["costs"]["per_unit"])

        self._policy = self._load(POLICY)
        self._steps = [_load_step(step, self._load) for step in details["steps"]]
        self._paths = [self._load(path["graph"]) for path in details["frequent"]]
        self.frequent = np.zeros(
            (len(self._paths), self.num_blocks), bool
        )  # (F, U), policies with a graph of their own
        for row, path in zip(self.frequent, details["frequent"], strict=True):
            row[path["kept"]] = True

    @property
    def num_blocks(self) -> int:
        """How many blocks (U) can be dropped."""
        return len(self._thresholds)

    def scores(self, images: _Features) -> NDArray[np.float32]:
        """Returns the probability (B, U) that each block is worth keeping; an empty batch runs no graph."""
        check_images(images, self._side)
        if not len(images):
            return np.empty((0, self.num_blocks), np.float32)
        return _only_output(self._policy, images)

    def decide(self, scores: NDArray[np.float32], knob: float | None = None) -> NDArray[np.bool_]:
        """Keep-vectors (B, U): a block is kept if its score is at least its threshold + knob, in double precision."""
        knob = self.knob if knob is None else check_knob(knob)
        keep: NDArray[np.bool_] = scores.astype(np.float64) >= self._thresholds + knob
        return keep

    def run(self, images: _Features, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Returns logits (B, K) of each image with the blocks that it keeps; frequent policies run as one graph."""
        self._check(images, keep)
        logits = np.empty((len(images), len(self.classes)), np.float32)
        rest = np.ones(len(images), bool)
        for policy, path in zip(self.frequent, self._paths, strict=True):
            rows = np.flatnonzero((keep == policy).all(axis=1))
            if len(rows):
                logits[rows] = _only_output(path, images[rows])
                rest[rows] = False
        if rest.any():
            logits[rest] = self.run_by_blocks(images[rest], keep[rest])
        return logits

    def run_by_blocks(self, images: _Features, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Returns logits (B, K) like `run`, but never from graphs of whole policies: each block runs on its images."""
        self._check(images, keep)
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        x, is_ours = images, False  # what a graph has returned may be overwritten, what the caller gave may not
        counts = keep.sum(axis=0).tolist()
        for step in self._steps:
            if step.unit is None or counts[step.unit] == len(x):
                x, is_ours = _only_output(step.run, x), True
            elif counts[step.unit] > 0:
                x, is_ours = _run_some(step, x if is_ours else x.copy(), keep[:, step.unit]), True
            elif step.shortcut is not None:
                x, is_ours = _only_output(step.shortcut, x), True
        return x

    def predict(self, images: _Features, knob: float | None = None) -> RunnerResult:
        """Decides and runs.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: 0 is the paper's decision, a higher one is cheaper; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        keep = self.decide(self.scores(images), knob)
        return RunnerResult(self.run(images, keep), keep, keep @ self._unit_macs + self._fixed_macs)

    def name_route(self, result: RunnerResult) -> str:
        """Says how many blocks the first image kept."""
        return f"{result.routes[0].sum()} of {self.num_blocks} blocks"

    def _check(self, images: _Features, keep: NDArray[np.bool_]) -> None:
        check_images(images, self._side)
        expected = (len(images), self.num_blocks)
        if keep.shape != expected or keep.dtype != np.bool_:
            raise ValueError(f"keep must be {expected} bool, a keep-vector per image, got {keep.shape} {keep.dtype}")


def _load_step(step: dict[str, Any], load: Callable[[str], GraphRunner]) -> _Step:
    shortcut = step["shortcut"]
    return _Step(load(step["graph"]), step["unit"], None if shortcut is None else load(shortcut))


def _only_output(run: GraphRunner, x: _Features) -> _Features:
    (output,) = run(x).values()
    return output


def _run_some(step: _Step, x: _Features, kept: NDArray[np.bool_]) -> _Features:
    """Runs the block on kept rows and the shortcut on the others; without a shortcut graph, ``x`` is overwritten."""
    part = _only_output(step.run, x[kept])
    if step.shortcut is not None:
        passed = _only_output(step.shortcut, x[~kept])
        x = np.empty((len(x), *part.shape[1:]), np.float32)
        x[~kept] = passed
    x[kept] = part
    return x
