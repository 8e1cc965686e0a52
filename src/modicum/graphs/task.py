"""What a search has to reach: the points to fit, the bound on the error, and the points on which the bound is held."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from modicum.graphs.graph import Complexity, Flags, Graph
from modicum.graphs.levenberg_marquardt import Effort, Fit, Points, mean_loss


@dataclass(frozen=True)
class Task:
    """Points and a bound.

    Attributes:
        points: What graphs are fitted to.
        max_loss: The bound: on the mean squared error, or on the cross-entropy in nats.
        max_complexity: A bound on the complexity instead: the loss is then what is to be least.
        validation: Where given, the bound is held on these points instead.
        measure: What is counted as complexity.
        shifted: Inputs, by number, that were centred for the fit. Neurons that one of these feeds keep their biases:
            the graph on raw inputs needs them, and shall not be more complex than the one that was searched.
        deadline: Of all fits, see `Effort`.
    """

    points: Points
    max_loss: float = np.inf
    max_complexity: int | None = None
    validation: Points | None = None
    measure: Complexity = "parameters"
    shifted: tuple[int, ...] = ()
    deadline: float = np.inf

    def judged_loss(self, fitted: Fit) -> float:
        """Returns the loss that is compared with the bound."""
        return fitted.loss if self.validation is None else mean_loss(fitted.graph, self.validation)

    def holds(self, fitted: Fit) -> bool:
        """Tells whether a fitted graph keeps the bound."""
        return self.judged_loss(fitted) <= self.max_loss

    def size(self, fitted: Fit) -> int:
        """Returns the complexity of a fitted graph by this task's measure."""
        return fitted.graph.complexity(self.measure)

    def is_free(self, graph: Graph) -> Flags:
        """Tells which parameters (P,) may go: all edges, and biases of hidden neurons that no shifted input feeds.

        Biases of outputs stay, as the scaling of targets goes into them.
        """
        shifted = np.zeros(graph.num_inputs, dtype=bool)
        shifted[list(self.shifted)] = True
        is_free = ~graph.feeds(shifted)
        is_free[graph.num_hidden :] = False
        return np.concatenate([np.ones(graph.num_edges, dtype=bool), is_free[graph.has_bias]])

    def effort(self, iterations: int, *, slack: float) -> Effort:
        """Returns an effort that ends at ``slack`` times the bound, or as soon as the bound is out of reach.

        With validation points the loss of the fit says little about either, and the fit goes on until it converges.
        """
        if self.validation is not None or not np.isfinite(self.max_loss):
            return self.unbounded_effort(iterations)
        return Effort(iterations, stop_at=slack * self.max_loss, abandon_above=self.max_loss, deadline=self.deadline)

    def unbounded_effort(self, iterations: int, min_gain: float = 1e-4) -> Effort:
        """Returns an effort that goes on until the fit converges or the time is up."""
        return Effort(iterations, min_gain, deadline=self.deadline)

    def bounded(self, max_loss: float) -> Self:
        """Returns the same task with another bound."""
        return replace(self, max_loss=max_loss)

    def until(self, deadline: float) -> Self:
        """Returns the same task with another deadline."""
        return replace(self, deadline=deadline)
