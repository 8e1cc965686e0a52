"""Runs an exported cascade with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds one graph per step and a manifest that says how to feed them. A step at a new size reads the
full-size images and shrinks them itself, and so does a given network; a step at the size of the one before goes on with
that one's maps and pooled features. A given network that was ONNX already is three graphs that run one after the other:
what makes its images, itself, and what makes log-probabilities. Every step gives its own log-probabilities, after its
temperature; averages and the decision are made here.
"""

# B batch, n images that have not left, M steps, K classes, S side of the images in pixels
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.cascade.deciding import Decision, Running
from modicum.classify.pictures import ExportedClassifier, RunnerResult, check_images, check_routes
from modicum.exporting.sessions import GraphRunner

SYSTEM = "cascade"
STEP = "step {}"  # roles of the graphs, counted from 1
CHAIN = ("images", "network", "answer")  # what follows the role of a step that is three graphs
IMAGES, ANSWER = "images", "log_probabilities"  # tensors that graphs read and write; others pass between two steps
DETAILS = ("classes", "costs", "decision", "image_px", "knob", "preprocessing")  # of the manifest

_Leave = Callable[[int, NDArray[np.int64], Running], NDArray[np.bool_]]  # (step, rows, answers) -> who leaves, (n,)


class StepAnswers(NamedTuple):
    """Holds what every step answers to images."""

    sure: NDArray[np.float32]  # (B, M), in [0, 1]
    logs: NDArray[np.float32]  # (B, M, K): logarithms of probabilities


class _Step:
    """Runs the graphs of a step one after the other, each on all that the one before gives."""

    def __init__(self, graphs: Sequence[GraphRunner]) -> None:
        self._graphs = graphs

    def __call__(self, *inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the outputs of the last graph by name, for inputs of the first."""
        first, *others = self._graphs
        outputs = first(*inputs)
        for graph in others:
            outputs = graph(*outputs.values())
        return outputs


def chain_roles(role: str) -> tuple[str, str, str]:
    """Returns the roles of the graphs of a step that has three, in the order in which they run."""
    first, second, third = (f"{role} {part}" for part in CHAIN)
    return first, second, third


def graph_file(folder: Path, role: str) -> Path:
    """Returns the file of a graph."""
    return folder / f"{role.replace(' ', '_')}.onnx"


class OnnxCascade(ExportedClassifier):
    """An exported cascade, of sizes and exits or of given networks, or a DRNet that decides by confidence.

    Args:
        folder: What `modicum.classify.cascade.export.export_cascade` wrote, or
            `modicum.classify.drnet.exiting_export.export_exiting`.
        threads: As of `ExportedClassifier`, which also says what is raised.
        system: Which system was exported: "cascade" or "drnet".
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None, system: str = SYSTEM) -> None:
        super().__init__(folder, system, DETAILS, threads=threads)
        costs = self._details["costs"]
        self.labels: tuple[str, ...] = tuple(costs["labels"])
        self.decision = Decision.read(self._details["decision"])
        self._route_macs = np.array(costs["per_route"], np.float64)
        self._plain_macs = costs["alone"]
        steps = [STEP.format(number) for number in range(1, len(self.labels) + 1)]
        chains = [(step,) if step in self._graphs else chain_roles(step) for step in steps]
        self._reads = [self._graphs[roles[0]].input_names for roles in chains]
        self._steps = [_Step([self._load(role) for role in roles]) for roles in chains]

    def every_step(self, images: NDArray[np.float32]) -> StepAnswers:
        """Returns what every step answers to images (B, 3, S, S); an empty batch runs no graph."""
        if not len(images):
            check_images(images, self._side)
            empty = np.empty((0, len(self.labels), 1 + len(self.classes)), np.float32)
            return StepAnswers(empty[..., 0], empty[..., 1:])
        answers: list[Running] = []

        def stay(index: int, rows: NDArray[np.int64], running: Running) -> NDArray[np.bool_]:
            answers.append(running)
            return np.full(len(rows), index == len(self.labels) - 1)

        self._walk(images, stay)
        sure, logs = (np.stack([getattr(running, name) for running in answers], axis=1) for name in ("sure", "logs"))
        return StepAnswers(sure, logs)

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns how sure every step is (B, M)."""
        return self.every_step(images).sure

    def decide(self, scores: NDArray[np.float32], knob: float | None = None) -> NDArray[np.int64]:
        """Returns routes (B,) of images with these confidences (B, M): the first step at which each may leave."""
        knob = self.knob if knob is None else check_knob(knob)
        leaves = [self.decision.rule.leaves(index, scores[:, index], knob) for index in range(len(self.labels))]
        routes: NDArray[np.int64] = np.stack(leaves, axis=1).argmax(axis=1)
        return routes

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns log-probabilities (B, K) of each image at its step; later steps do not run.

        Raises:
            ValueError: If the images are of another shape or type, or the routes are not one step per image.
        """
        check_routes(routes, len(images), len(self.labels))
        return self._walk(images, lambda index, rows, _: routes[rows] == index)[0]

    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Runs each image until a step is sure of it.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: 0 is the most expensive setting, 1 the cheapest; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        knob = self.knob if knob is None else check_knob(knob)
        logits, routes = self._walk(
            images, lambda index, _, running: self.decision.rule.leaves(index, running.sure, knob)
        )
        return RunnerResult(logits, routes, self._route_macs[routes])

    def name_route(self, result: RunnerResult) -> str:
        """Names the step that answered the first image."""
        return self.labels[int(result.routes[0])]

    def _walk(self, images: NDArray[np.float32], leave: _Leave) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns log-probabilities (B, K) and steps (B,)."""
        check_images(images, self._side)
        # Not left empty: what a rule that keeps images after the last step left out would look like answers.
        logits = np.full((len(images), len(self.classes)), np.nan, np.float32)
        routes, rows = np.zeros(len(images), np.int64), np.arange(len(images))
        if not len(images):
            return logits, routes
        passed: dict[str, NDArray[np.float32]] = {}
        running: Running | None = None
        for index, (step, reads) in enumerate(zip(self._steps, self._reads, strict=True)):
            if IMAGES in reads:  # taken from the whole batch only where a size begins: few are left there
                passed = {IMAGES: images if len(rows) == len(images) else images[rows]}
            passed = step(*(passed[name] for name in reads))
            running = self.decision.answer(index, passed.pop(ANSWER), running)
            mask = leave(index, rows, running)
            if not mask.any():
                continue
            logits[rows[mask]], routes[rows[mask]] = running.logs[mask], index
            if mask.all():
                break
            rows, running = rows[~mask], running.only(~mask)
            passed = {name: tensor[~mask] for name, tensor in passed.items()}
        return logits, routes
