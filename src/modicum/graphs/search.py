"""The alternation of growing and pruning that looks for the least complex graph within a bound on its error.

That pruning of connections alternates with adding of neurons is the idea of Khashin and Shemyakova, "Growing an
architecture for a neural network" (2021); the schedule, the acceptance and everything else here is our design.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from modicum.graphs.connecting import connect
from modicum.graphs.front import Front, Member
from modicum.graphs.graph import Graph
from modicum.graphs.graph_files import from_json, to_json
from modicum.graphs.growing import Candidates, grow
from modicum.graphs.levenberg_marquardt import Effort, Fit, OutOfTimeError, check_time, fit
from modicum.graphs.pruning import LAST, prune
from modicum.graphs.task import Task
from modicum.storage.files import JSON

HEADROOM = 0.72  # a first graph grows until its loss is this share of the bound, so that pruning has room
MAX_NEW_EDGES = 4  # and biases, in a round that adds connections
STALLED = 5  # rounds without a better graph, after which a larger one may become the next to start from
POLISHING_SHARE = 0.1  # of the seconds, kept for `Search.polished`
TIGHTEN = 0.97  # the bound, once a graph of the complexity allowed keeps it, as a share of that graph's loss


@dataclass(frozen=True)
class Plan:
    """How long a search goes on, and by which rules.

    Attributes:
        rounds: Of growing and pruning, at most; what is found depends on this and the seed alone.
        seconds: CPU time, at most, polishing included; a round that is under way then ends unfinished. None: rounds
            alone decide.
        max_parameters: Where growing gives up.
        connecting: Share of the rounds that add connections instead of neurons.
        max_new_neurons: Other rounds add one to this many.
        uphill: Probability that a graph larger by one becomes the next to start from, where the search has stalled;
            squared for two, and so on.
        return_after: Rounds after which the search returns to the best graph.
        candidates: How new neurons are found.
    """

    rounds: int = 200
    seconds: float | None = None
    max_parameters: int = 400
    connecting: float = 0.3
    max_new_neurons: int = 3
    uphill: float = 0.25
    return_after: int = 40
    candidates: Candidates = field(default_factory=Candidates)

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.max_new_neurons < 1 or self.return_after < 1:
            told = f"{self.rounds}, {self.max_new_neurons} and {self.return_after}"
            raise ValueError(f"rounds must be at least 0, max_new_neurons and return_after at least 1, got {told}")
        if not (0 <= self.uphill <= 1 and 0 <= self.connecting <= 1):
            raise ValueError(f"uphill and connecting must be in [0, 1], got {self.uphill} and {self.connecting}")

    @property
    def searching_seconds(self) -> float:
        """CPU time of the rounds alone; infinite where rounds alone decide."""
        return np.inf if self.seconds is None else (1 - POLISHING_SHARE) * self.seconds

    def is_over(self, rounds: int, seconds: float) -> bool:
        """Tells whether a search is over after so many rounds and seconds."""
        return rounds >= self.rounds or (rounds >= 0 and seconds >= self.searching_seconds)


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        round: Rounds done; 0 is the first graph.
        complexity: Of the best graph, by the task's measure.
        loss: Of the best graph, on the points that the bound is held on.
        seconds: CPU time so far.
    """

    round: int
    complexity: int
    loss: float
    seconds: float

    def is_news(self, last: "Progress") -> bool:
        """Tells whether the best graph has changed."""
        return (self.complexity, self.loss) != (last.complexity, last.loss)


class Search:
    """One search from one seed; it can stop after any round, be stored, and go on to the same result.

    Args:
        task: Points, bound and measure. Where it bounds complexity instead of error, the search tightens the bound on
            the error whenever a graph of that complexity keeps it.
        plan: How long, and by which rules.
        seed: Everything drawn follows from it.
    """

    def __init__(self, task: Task, plan: Plan, seed: int) -> None:
        self.task, self.plan = task, plan
        self.rng = np.random.default_rng(seed)
        self.front = Front()
        self.history: list[Progress] = []
        self.round, self.seconds = -1, 0.0  # round 0 makes the first graph
        points = task.points
        self.incumbent = Graph.linear(len(points.inputs), len(points.targets))

    @property
    def best(self) -> Member:
        """The least complex graph that keeps the bound, or while there is none that with the least loss.

        With a bound on complexity: the graph with the least loss that keeps it.
        """
        return self._best_of(self.front)

    def _best_of(self, front: Front) -> Member:
        if self.task.max_complexity is not None:
            return front.most_accurate(self.task.max_complexity)
        return front.smallest(self.task.max_loss)

    @property
    def progress(self) -> Progress:
        """Where the search stands; there is a best graph once the first round is done."""
        return Progress(self.round, self.best.complexity, self.best.loss, self.seconds)

    @property
    def is_over(self) -> bool:
        """Whether the plan's rounds or seconds are spent."""
        return self.plan.is_over(self.round, self.seconds)

    def advance(self) -> Progress:
        """Runs one round; the first makes the graph that others start from. Ends when the plan's time is up."""
        before = time.process_time()
        self.task = self.task.until(before + self.plan.searching_seconds - self.seconds)
        try:
            if self.round < 0:
                self._start()
            else:
                self._alternate()
        except OutOfTimeError:
            self.incumbent = self.best.graph
        self.round += 1
        self.seconds += time.process_time() - before
        if not self.history or self.progress.is_news(self.history[-1]):
            self.history.append(self.progress)
        return self.progress

    def state(self) -> dict[str, JSON]:
        """Returns everything that changes from round to round, as plain data."""
        return {
            "round": self.round,
            "seconds": self.seconds,
            "max_loss": self.task.max_loss if np.isfinite(self.task.max_loss) else None,
            "rng": self.rng.bit_generator.state,
            "incumbent": to_json(self.incumbent),
            "front": self.front.to_json(),
            "history": [asdict(progress) for progress in self.history],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` of a search with the same task, plan and seed returned."""
        self.round, self.seconds = state["round"], state["seconds"]
        self.task = self.task.bounded(np.inf if state["max_loss"] is None else state["max_loss"])
        self.rng.bit_generator.state = state["rng"]
        self.incumbent = from_json(state["incumbent"])
        self.front = Front.from_json(state["front"])
        self.history = [Progress(**progress) for progress in state["history"]]

    def polished(self) -> Member:
        """Returns the best graph, pruned once more and fitted until its loss stops falling.

        If complexity is bounded, the graph keeps its size. The search itself does not change. Ends where the plan's
        time is up.
        """
        left = np.inf if self.plan.seconds is None else self.plan.seconds - self.seconds
        task = self.task.until(time.process_time() + left)
        front = Front()
        graph: Graph | None = self.best.graph
        front.add(self.best)  # validation loss may rise where training loss falls
        try:
            while graph is not None:
                fitted = fit(graph, task.points, task.unbounded_effort(300, 1e-5))
                front.add(self._member(fitted))
                graph = None
                if self._may_shrink(fitted):
                    for smaller in prune(fitted, task, LAST):
                        front.add(self._member(smaller))
                        graph = smaller.graph
        except OutOfTimeError:
            pass  # the front has all that was found
        return self._best_of(front)

    def _may_shrink(self, fitted: Fit) -> bool:
        return self.task.max_complexity is None and self.task.holds(fitted)

    def _start(self) -> None:
        """Starts from linear regression, grows it until pruning has room, then prunes."""
        linear = fit(self.incumbent, self.task.points, Effort(60))  # whatever the time: there is to be a graph
        self.front.add(self._member(linear))
        fitted = self._grown_at_end(linear)
        if self.task.max_complexity is not None:
            fitted = self._shrunk(fitted, self.task.max_complexity)
            self._tighten()
        elif self.task.holds(fitted):
            fitted = self._pruned(fitted)
        self.incumbent = fitted.graph

    def _grown_at_end(self, fitted: Fit) -> Fit:
        limit = min(self.plan.max_parameters, self.task.points.num_points)
        losses = [self.task.judged_loss(fitted)]
        while self._is_too_small(fitted) and not _is_stuck(losses):
            check_time(self.task.deadline)
            graph = grow(fitted.graph, self.task.points, self.plan.candidates, self.rng, at_end=True)
            if graph.num_parameters > limit:
                break
            fitted = self._fitted(graph, 60)
            losses.append(self.task.judged_loss(fitted))
        return fitted

    def _is_too_small(self, fitted: Fit) -> bool:
        if self.task.max_complexity is not None:
            return self.task.size(fitted) < self.task.max_complexity
        return self.task.judged_loss(fitted) > HEADROOM * self.task.max_loss

    def _shrunk(self, fitted: Fit, max_complexity: int) -> Fit:
        """Prunes with a bound that rises step by step until the complexity is allowed."""
        bound = 1e-9  # so that it rises from a perfect fit, too
        while self.task.size(fitted) > max_complexity and fitted.graph.num_edges:
            bound = 1.2 * max(bound, self.task.judged_loss(fitted))
            self.task = self.task.bounded(bound)
            fitted = self._fitted(self._pruned(fitted).graph, 60)
        return fitted

    def _alternate(self) -> None:
        """Enlarges the incumbent, prunes it, and continues from the result unless it is larger."""
        if self.round % self.plan.return_after == self.plan.return_after - 1:
            self.incumbent = self.best.graph
        fitted = self._fitted(self._enlarged(self.incumbent), 40)
        if not self.task.holds(fitted):
            return
        found = self._pruned(fitted)
        larger = self.task.size(found) - self.incumbent.complexity(self.task.measure)
        is_stalled = self.round - self.history[-1].round >= STALLED
        if larger <= 0 or (is_stalled and self.rng.random() < self.plan.uphill**larger):
            self.incumbent = found.graph
        self._tighten()

    def _enlarged(self, graph: Graph) -> Graph:
        """Returns the graph with a few more neurons, or with a few more edges among its nodes."""
        if self.rng.random() < self.plan.connecting:
            return connect(graph, self.task, int(self.rng.integers(1, MAX_NEW_EDGES + 1)), self.rng)
        for _ in range(int(self.rng.integers(1, self.plan.max_new_neurons + 1))):
            check_time(self.task.deadline)
            graph = grow(graph, self.task.points, self.plan.candidates, self.rng)
        return graph

    def _tighten(self) -> None:
        allowed = self.task.max_complexity
        if allowed is not None and (best := self.best).complexity <= allowed:
            self.task = self.task.bounded(min(self.task.max_loss, TIGHTEN * best.loss))

    def _fitted(self, graph: Graph, iterations: int) -> Fit:
        fitted = fit(graph, self.task.points, self.task.unbounded_effort(iterations))
        self.front.add(self._member(fitted))
        return fitted

    def _pruned(self, fitted: Fit) -> Fit:
        for smaller in prune(fitted, self.task):
            self.front.add(self._member(smaller))
            fitted = smaller
        return fitted

    def _member(self, fitted: Fit) -> Member:
        return Member(self.task.size(fitted), self.task.judged_loss(fitted), fitted.graph)


def _is_stuck(losses: list[float]) -> bool:
    """Tells whether the last five neurons together lowered the best loss by less than 1 %, or the loss is 0."""
    return losses[-1] == 0 or (len(losses) > 5 and min(losses[-5:]) > 0.99 * min(losses[:-5]))
