"""The alternation of growing and pruning that looks for the least complex graph within a bound on its error.

That pruning of connections alternates with adding of neurons is the idea of Khashin and Shemyakova, "Growing an
architecture for a neural network" (2021); the schedule, the acceptance and everything else here is our design.
"""

from dataclasses import dataclass, field

import numpy as np

from modicum.graphs.fitting import Effort, Fit, fit
from modicum.graphs.graph import Graph
from modicum.graphs.growing import Candidates, grow
from modicum.graphs.pruning import prune
from modicum.graphs.task import Task


@dataclass(frozen=True)
class Plan:
    """How a search goes about it."""

    candidates: Candidates = Candidates()
    max_parameters: int = 2000
    uphill: float = 0.1
    return_after: int = 25
    grow_iterations: int = 40


class Search:
    def __init__(self, task: Task, plan: Plan, seed: int) -> None:
        self.task, self.plan = task, plan
        self.rng = np.random.default_rng(seed)
        self.front: dict[int, Fit] = {}
        self.round = 0
        self.incumbent = self.best = None

    def start(self) -> None:
        points = self.task.points
        fitted = fit(Graph.linear(len(points.inputs), len(points.targets)), points, Effort(60))
        self._note(fitted)
        while self.task.judged_loss(fitted) > 0.85**2 * self.task.max_loss:
            grown = grow(fitted.graph, points, self.plan.candidates, self.rng, at_end=True)
            fitted = fit(grown, points, Effort(60))
            self._note(fitted)
        self.incumbent = self.best = self._pruned(fitted)

    def advance(self) -> str:
        self.round += 1
        if self.round % self.plan.return_after == 0:
            self.incumbent = self.best
        found = self._propose()
        if found is None:
            return "infeasible"
        found = self._pruned(found)
        size, had = self.task.size(found), self.task.size(self.incumbent)
        if size <= had or (size == had + 1 and self.rng.random() < self.plan.uphill):
            self.incumbent = found
            if size < self.task.size(self.best) or (size == self.task.size(self.best) and found.loss < self.best.loss):
                self.best = found
        return f"{size-had:+d}"

    def _propose(self) -> Fit | None:
        graph = self.incumbent.graph
        for _ in range(int(self.rng.integers(1, 4))):
            graph = grow(graph, self.task.points, self.plan.candidates, self.rng)
        fitted = fit(graph, self.task.points, Effort(self.plan.grow_iterations))
        return fitted if self.task.holds(fitted) else None

    def _pruned(self, fitted: Fit) -> Fit:
        for fitted in prune(fitted, self.task):
            self._note(fitted)
        return fitted

    def _note(self, fitted: Fit) -> None:
        size = self.task.size(fitted)
        if size not in self.front or fitted.loss < self.front[size].loss:
            self.front[size] = fitted
