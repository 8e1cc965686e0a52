"""Runs an exported RANet with numpy, ONNX Runtime and Pillow alone: the reference for ports to other languages.

An exported folder holds a graph of the stem, two graphs per exit, its body and its head, and a manifest that says how
to feed them. Every tensor between graphs has a name; a graph's inputs and outputs are the names that it reads and
writes. The head is a graph of its own because it is not run where no image can leave.
"""

# B batch, n images still running, E exits, K classes, S side of the images in pixels
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.adaptive.knobs import check_knob
from modicum.classify.cascade.deciding import TINIEST
from modicum.classify.pictures import ExportedClassifier, RunnerResult, check_images, check_routes, softmax
from modicum.classify.ranet.deciding import read_rule
from modicum.exporting.manifest import Graph
from modicum.exporting.sessions import GraphRunner

SYSTEM = "ranet"
STEM, BODY, HEAD = "stem", "body {}", "head {}"  # roles of the graphs; exits count from 1
DETAILS = ("classes", "costs", "decision", "image_px", "knob", "pieces", "preprocessing")  # of the manifest

_Tensors = dict[str, NDArray[np.float32]]  # (n, ...) each
_Leaving = tuple[NDArray[np.bool_], NDArray[np.float32] | None]  # who of n leaves, and their logits in order


class OnnxRANet(ExportedClassifier):
    """An exported RANet.

    Args:
        folder: What `modicum.classify.ranet.export.export_ranet` wrote.
        threads: As of `ExportedClassifier`, which also says what is raised.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        super().__init__(folder, SYSTEM, DETAILS, threads=threads)
        details = self._details
        self.labels: tuple[str, ...] = tuple(details["costs"]["labels"])
        self._temperatures = np.array(details["decision"]["temperatures"], np.float32)
        self._average = bool(details["decision"].get("average", False))  # older exports do not state it
        self._trunk_macs, self._head_macs = (np.array(details["pieces"][key], np.float64) for key in ("trunk", "heads"))
        self._plain_macs = float(self._trunk_macs.sum() + self._head_macs[-1])  # the last exit alone
        self.rule = read_rule(details["decision"], num_exits=len(self.labels), knob=self.knob)
        self._stem = self._step(STEM)
        numbers = range(1, len(self.labels) + 1)
        self._bodies = [self._step(BODY.format(number)) for number in numbers]
        self._heads = [self._step(HEAD.format(number)) for number in numbers]
        self._read_after = [{name for body in self._bodies[number:] for name in body.reads} for number in numbers]

    def every_exit(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns logits (B, E, K) of all exits, each by itself; an empty batch runs no graph."""
        logits: list[NDArray[np.float32]] = []

        def stay(index: int, rows: NDArray[np.int64], features: _Tensors) -> _Leaving:
            logits.append(self._heads[index](features)["logits"])
            return np.zeros(len(rows), np.bool_), None

        self._walk(images, stay)
        return np.stack(logits, axis=1) if logits else np.empty((0, len(self.labels), len(self.classes)), np.float32)

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the confidence (B, E) of every exit: the largest probability of its answer."""
        logits = self.every_exit(images)
        if not self._average:
            return _confidence(logits, self._temperatures)
        totals = softmax(logits / self._temperatures[:, None]).cumsum(axis=1)
        means = totals / np.arange(1, len(self.labels) + 1)[:, None]
        largest: NDArray[np.float32] = means.max(axis=2).astype(np.float32)
        return largest

    def decide(self, scores: NDArray[np.float32], knob: float | None = None) -> NDArray[np.int64]:
        """Returns routes (B,) of images with these confidences: the first exit at which each may leave."""
        knob = self.knob if knob is None else check_knob(knob)
        leaves = [self.rule.leaves(index, scores[:, index], knob) for index in range(len(self.labels))]
        routes: NDArray[np.int64] = np.stack(leaves, axis=1).argmax(axis=1)
        return routes

    def run(self, images: NDArray[np.float32], routes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the answers (B, K) of each image at its exit; nothing is run for an image after that.

        Raises:
            ValueError: If the images are of another shape or type, or the routes are not one exit per image.
        """
        check_routes(routes, len(images), len(self.labels))

        means = self._means(len(images))

        def leave(index: int, rows: NDArray[np.int64], features: _Tensors) -> _Leaving:
            mask = routes[rows] == index
            if means is not None:
                return mask, means.add(index, rows, self._heads[index](features)["logits"])[mask]
            return mask, self._heads[index](_only(features, mask))["logits"] if mask.any() else None

        return self._walk(images, leave)[0]

    def predict(self, images: NDArray[np.float32], knob: float | None = None) -> RunnerResult:
        """Runs each image until the rule lets it leave; heads that no answer needs are not run.

        Args:
            images: Shape (B, 3, S, S), normalised; see `classify` for pictures. B may be 0.
            knob: A higher one is cheaper; None takes the one that was exported.

        Raises:
            ValueError: If the images are of another shape or type.
        """
        knob = self.knob if knob is None else check_knob(knob)
        means = self._means(len(images))
        open_exits = self.rule.open_exits(knob) if means is None else (True,) * len(self.labels)

        def leave(index: int, rows: NDArray[np.int64], features: _Tensors) -> _Leaving:
            if not open_exits[index]:
                return np.zeros(len(rows), np.bool_), None
            logits = self._heads[index](features)["logits"]
            if means is None:
                confidence = _confidence(logits, self._temperatures[index : index + 1])
            else:
                logits = means.add(index, rows, logits)
                confidence = np.exp(logits).max(axis=1)
            mask = self.rule.leaves(index, confidence, knob)
            return mask, logits[mask]

        logits, routes = self._walk(images, leave)
        return RunnerResult(logits, routes, (self._trunk_macs + self._head_macs * open_exits).cumsum()[routes])

    def name_route(self, result: RunnerResult) -> str:
        """Names the exit that answered the first image."""
        return self.labels[int(result.routes[0])]

    def _step(self, role: str) -> "_Step":
        return _Step(self._graphs[role], self._load(role))

    def _means(self, num_images: int) -> "_Means | None":
        """Returns what averages the exits of a batch; None where each answers by itself."""
        return _Means(num_images, len(self.classes), self._temperatures) if self._average else None

    def _walk(
        self, images: NDArray[np.float32], leave: Callable[[int, NDArray[np.int64], _Tensors], _Leaving]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns answers (B, K) and exits (B,); ``leave(exit, rows, features)`` tells which of ``rows`` leave."""
        check_images(images, self._side)
        # Not left empty: what a rule that keeps images after the last exit left out would look like answers.
        logits = np.full((len(images), len(self.classes)), np.nan, np.float32)
        routes, rows = np.zeros(len(images), np.int64), np.arange(len(images))
        if not len(images):
            return logits, routes
        tensors = self._stem({"images": images})
        for index, body in enumerate(self._bodies):
            tensors |= body(tensors)
            features = {name: tensors[name] for name in self._heads[index].reads}
            tensors = {name: tensor for name, tensor in tensors.items() if name in self._read_after[index]}
            mask, answers = leave(index, rows, features)
            if answers is None:
                continue
            logits[rows[mask]], routes[rows[mask]] = answers, index
            if mask.all():
                break
            if mask.any():
                rows, tensors = rows[~mask], _only(tensors, ~mask)
        return logits, routes


class _Means:
    """Averages the probabilities of the exits that images have passed.

    Args:
        num_images: Images B of the batch.
        num_classes: Classes K.
        temperatures: Shape (E,), of each exit.
    """

    def __init__(self, num_images: int, num_classes: int, temperatures: NDArray[np.float32]) -> None:
        self._totals, self._temperatures = np.zeros((num_images, num_classes)), temperatures

    def add(self, index: int, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the logarithms (n, K) of the means after exit ``index``, whose logits (n, K) are of ``rows`` (n,)."""
        self._totals[rows] += softmax(logits / self._temperatures[index])
        means = np.maximum(self._totals[rows] / (index + 1), TINIEST)
        logs: NDArray[np.float32] = np.log(means).astype(np.float32)
        return logs


class _Step:
    """A graph that picks what it reads from named tensors."""

    def __init__(self, graph: Graph, run: GraphRunner) -> None:
        self.reads, self._run = graph.input_names, run

    def __call__(self, tensors: _Tensors) -> _Tensors:
        return self._run(*(tensors[name] for name in self.reads))


def _only(tensors: _Tensors, mask: NDArray[np.bool_]) -> _Tensors:
    return {name: tensor[mask] for name, tensor in tensors.items()}


def _confidence(logits: NDArray[np.float32], temperatures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the largest softmax probabilities (...) of logits (..., K) over temperatures (...)."""
    largest: NDArray[np.float64] = softmax(logits / temperatures[..., None]).max(axis=-1)
    return largest.astype(np.float32)
