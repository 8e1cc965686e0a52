"""The smallest layered network within a bound: the rival of a searched graph, by the same optimiser and effort."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from modicum.graphs.activations import ActivationName
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Effort, Fit, OutOfTimeError, check_time, fit
from modicum.graphs.task import Task
from modicum.processes import Crew

MAX_LAYERS = 4  # hidden ones
MAX_PARAMETERS = 2000
RESTARTS = 6  # starts of each shape before another shape's turn comes again
ITERATIONS = 300
MIN_GAIN = 1e-5  # of four steps, relative: these fits go on for longer than those within a search
SMALLEST_SHARE = 0.5  # shapes below this share of the best one's size are not tried again


@dataclass(frozen=True)
class LayeredFound:
    """What the search over layered networks came to.

    Attributes:
        best: The smallest that keeps the bound; None if none does.
        least: That of the least error, whether it keeps the bound or not.
        fits: Networks that were fitted.
        seconds: CPU time.
    """

    best: Fit | None
    least: Fit
    fits: int
    seconds: float


def search_layered(
    task: Task, *, seconds: float, seed: int, activation: ActivationName = "tanh", max_parameters: int = MAX_PARAMETERS
) -> LayeredFound:
    """Searches for the smallest layered network of one to four hidden layers within a bound.

    First each depth is widened until a network keeps the bound. Then shapes smaller than the best are started again and
    again, larger ones first, until the time is over: the chance of a lucky start is given to all.

    Args:
        task: Points and bound.
        seconds: CPU time of this process; a fit that has begun is finished.
        seed: Of the starts.
        activation: Of all hidden neurons.
        max_parameters: No larger network is tried.
    """
    return _LayeredSearch(task, activation, max_parameters, seed).run(seconds)


def search_layered_restarts(
    task: Task, *, seeds: Sequence[int], seconds: float, activation: ActivationName = "tanh", processes: int = 1
) -> LayeredFound:
    """Returns the best of several searches from different seeds, run in parallel processes.

    Args:
        task: Points and bound; where it bounds the complexity, no larger network is tried.
        seeds: One search each, at least one.
        seconds: CPU time of each search.
        activation: Activation of all hidden neurons.
        processes: How many work at once; 1 works in this process.
    """
    limit = MAX_PARAMETERS if task.max_complexity is None else task.max_complexity
    bounded = replace(task, max_loss=0.0) if task.max_complexity is not None else task  # then the least error counts
    search = partial(_search_one, bounded, seconds, activation, limit)
    if processes == 1:
        return _joined(task, [search(seed) for seed in seeds])
    with Crew(min(processes, len(seeds)), search) as crew:
        found = dict(crew.work_off(deque(seeds)))
    return _joined(task, [found[seed] for seed in seeds])  # in their order: of equals the first counts


def _search_one(task: Task, seconds: float, activation: ActivationName, limit: int, seed: int) -> LayeredFound:
    with threadpool_limits(limits=1):
        return search_layered(task, seconds=seconds, seed=seed, activation=activation, max_parameters=limit)


def _joined(task: Task, found: Sequence[LayeredFound]) -> LayeredFound:
    kept = [each.best for each in found if each.best is not None]
    return LayeredFound(
        min(kept, key=lambda fitted: (task.size(fitted), fitted.loss), default=None),
        min((each.least for each in found), key=task.judged_loss),
        sum(each.fits for each in found),
        sum(each.seconds for each in found),
    )


class _LayeredSearch:
    def __init__(self, task: Task, activation: ActivationName, max_parameters: int, seed: int) -> None:
        self.task, self.activation, self.max_parameters = task, activation, max_parameters
        self.rng = np.random.default_rng(seed)
        self.ends = (len(task.points.inputs), len(task.points.targets))
        self.effort = Effort(ITERATIONS, MIN_GAIN, task.max_loss if task.validation is None else 0.0)
        self.best: Fit | None = None
        self.least: Fit | None = None
        self.fits = 0

    def run(self, seconds: float) -> LayeredFound:
        start = time.process_time()
        try:
            for shape in self._shapes_to_try():
                self._try(shape, start + seconds)
                check_time(start + seconds)
        except OutOfTimeError:
            pass  # what was found is kept
        assert self.least is not None  # the first shape has been tried in any case
        return LayeredFound(self.best, self.least, self.fits, time.process_time() - start)

    def _shapes_to_try(self) -> Iterator[Sequence[int]]:
        for depth in (2, 1, 3, 4):  # the first is mostly near the best, and bounds the others
            yield from self._widen(depth)
        while shapes := sorted(self._smaller_shapes(), key=self._size, reverse=True):
            yield from filter(self._is_wanted, shapes)

    def _widen(self, depth: int) -> Iterator[Sequence[int]]:
        """Yields ever wider shapes of a depth until one keeps the bound or exceeds the best; then those in between."""
        low, width = 0, 1
        while self._is_wanted((width,) * depth):
            before = self.best
            for _ in range(RESTARTS):
                yield (width,) * depth
                if self.best is not before:
                    break
            if self.best is not before:
                break
            low, width = width, max(width + 1, round(1.4 * width))
        yield from filter(self._is_wanted, ((between,) * depth for between in range(width - 1, low, -1)))

    def _smaller_shapes(self) -> Iterator[Sequence[int]]:
        """Returns shapes slightly smaller than the best or, if none kept the bound, than the largest allowed."""
        top = self.max_parameters if self.best is None else self.task.size(self.best) - 1
        for depth in range(1, MAX_LAYERS + 1):
            width = 1
            while self._size((width,) * depth) <= top:
                for wider in range(depth):  # layers, the first ones, that have one neuron more
                    shape = (width + 1,) * wider + (width,) * (depth - wider)
                    if SMALLEST_SHARE * top <= self._size(shape) <= top:
                        yield shape
                width += 1

    def _try(self, shape: Sequence[int], deadline: float) -> None:
        graph = Graph.layered((self.ends[0], *shape, self.ends[1]), self.activation, rng=self.rng)
        effort = self.effort if self.least is None else replace(self.effort, deadline=deadline)  # one there has to be
        fitted = fit(graph, self.task.points, effort)
        self.fits += 1
        if self.least is None or self.task.judged_loss(fitted) < self.task.judged_loss(self.least):
            self.least = fitted
        if self.task.holds(fitted) and (self.best is None or self.task.size(fitted) < self.task.size(self.best)):
            self.best = fitted

    def _size(self, shape: Sequence[int]) -> int:
        return num_parameters((self.ends[0], *shape, self.ends[1]))

    def _is_wanted(self, shape: Sequence[int]) -> bool:
        top = self.max_parameters if self.best is None else self.task.size(self.best) - 1
        return self._size(shape) <= top


def num_parameters(sizes: Sequence[int]) -> int:
    """Counts the weights and biases of a layered network: inputs, hidden layers, outputs."""
    return sum((before + 1) * after for before, after in pairwise(sizes))


def shape_of_size(num_inputs: int, num_outputs: int, depth: int, most: int) -> tuple[int, ...] | None:
    """Returns ``depth`` equal hidden layers of the largest network within ``most`` parameters; None if none fits."""
    width = 0
    while num_parameters((num_inputs, *[width + 1] * depth, num_outputs)) <= most:
        width += 1
    return (width,) * depth if width else None


def layers_of(graph: Graph) -> tuple[int, ...]:
    """Returns the number of neurons in each hidden layer of a layered graph."""
    return tuple(int(count) for count in np.bincount(graph.levels[graph.num_inputs : graph.first_output])[1:])
