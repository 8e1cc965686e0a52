"""What evaluating a searched graph yields, as plain values that serialise, print and are drawn by a report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.encoding import Encoding
from modicum.graphs.graph import Graph
from modicum.storage.files import JSON


@dataclass(frozen=True)
class Method:
    """One line of the table: the graph, or what it is held against.

    Attributes:
        name: What a reader calls it.
        parameters: Numbers that were fitted; None where that says nothing.
        errors: By part of the data: root mean squared error in units of the target, or cross-entropy in nats.
        accuracies: Share of right classes by part; empty where the target is a number.
        seconds: CPU time of fitting, beside whatever else the machine did; None where it was not taken.
        note: What a reader must know of it; empty for nothing.
    """

    name: str
    parameters: int | None
    errors: Mapping[str, float]
    accuracies: Mapping[str, float]
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class FrontPoint:
    """The least error that was met at a complexity, on the points that judge."""

    parameters: int
    error: float


@dataclass(frozen=True)
class Step:
    """Where one restart of a search stood when its best graph changed.

    Attributes:
        restart: Its number, from 0.
        round: Of growing and pruning.
        seconds: CPU time so far.
        parameters: Of the best graph.
        error: Of the best graph, on the points that judge.
    """

    restart: int
    round: int
    seconds: float
    parameters: int
    error: float


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a graph makes of a picture; all (H, W) uint8.

    Attributes:
        target: The picture.
        predicted: By the graph.
        layered: By the smallest layered network; None without one.
    """

    target: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    layered: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a report on a search shows.

    Attributes:
        system: Id of the system.
        problem: What is predicted, in a word.
        data: One line on the data.
        num_points: Points of each part, by its name.
        bound: The bound in words.
        max_error: The bound as a number; None where the complexity was bounded.
        judged_on: The part on which the bound is held.
        graph: On raw inputs.
        encoding: What its inputs and outputs mean.
        input_scale: Standard deviation of each input over the training points.
        methods: The graph, then what it is held against.
        front: Least error for each complexity met, rising.
        steps: How each restart went on.
        formula: One line per neuron and output.
        notes: What became of the data.
        pictures: For problems on pictures.
        missing: Baselines that this machine has no library for, and how to get them.
    """

    system: str
    problem: str
    data: str
    num_points: Mapping[str, int]
    bound: str
    max_error: float | None
    judged_on: str
    graph: Graph
    encoding: Encoding
    input_scale: NDArray[np.float64]
    methods: tuple[Method, ...]
    front: tuple[FrontPoint, ...]
    steps: tuple[Step, ...]
    formula: tuple[str, ...]
    notes: tuple[str, ...] = ()
    pictures: Pictures | None = None
    missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool | None:
        """Whether the graph keeps the bound on the error; None where the complexity was bounded."""
        return None if self.max_error is None else self.methods[0].errors[self.judged_on] <= self.max_error

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON."""
        words = ("system", "problem", "data", "num_points", "bound", "max_error", "judged_on", "holds", "formula")
        graph = self.graph
        return {
            **{name: getattr(self, name) for name in words},
            "graph": {
                **{measure: graph.complexity(measure) for measure in ("parameters", "edges", "macs")},
                "hidden": graph.num_hidden,
                "depth": graph.depth,
                "inputs": [
                    self.encoding.features[number]
                    for number in sorted({*graph.sources.tolist()} & {*range(graph.num_inputs)})
                ],
            },
            "methods": [asdict(method) for method in self.methods],
            "front": [asdict(point) for point in self.front],
            "steps": [asdict(step) for step in self.steps],
            "notes": list(self.notes),
            "missing": list(self.missing),
        }
