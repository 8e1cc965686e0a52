"""The search as scikit-learn estimators: the smallest graph for a table, within a bound that the user states."""
# N samples, F features, T targets, K classes

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self, cast, runtime_checkable
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from modicum.graphs.activations import ACTIVATIONS, ActivationName, Array
from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.growing import Candidates
from modicum.graphs.levenberg_marquardt import Points
from modicum.graphs.losses import CrossEntropy, Loss, SquaredError, softmax
from modicum.graphs.recipe import DEFAULT_COMPLEXITY
from modicum.graphs.restarts import search_restarts
from modicum.graphs.search import Plan
from modicum.graphs.task import Task


class Found(NamedTuple):
    """A graph on raw features, its number of parameters, and its error in the user's units."""

    complexity: int
    error: float
    graph: Graph


class _GraphEstimator(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """What both estimators share: the bound, the search, and the graph on raw features."""

    def __init__(
        self,
        max_error: float | None = None,
        max_complexity: int | None = None,
        *,
        activations: tuple[ActivationName, ...] = ("tanh",),
        rounds: int = 50,
        restarts: int = 1,
        n_jobs: int = 1,
        validation_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.max_error, self.max_complexity = max_error, max_complexity
        self.activations, self.rounds, self.restarts, self.n_jobs = activations, rounds, restarts, n_jobs
        self.validation_fraction, self.random_state = validation_fraction, random_state

    @abstractmethod
    def _loss_of(self, error: float) -> float:
        """Converts an error in the user's units to the loss of a search."""

    @abstractmethod
    def _error_of(self, loss: float) -> float:
        """Converts the loss of a search to an error in the user's units."""

    @abstractmethod
    def _raw(self, graph: Graph) -> Graph:
        """Converts a graph on standardised numbers to one on raw numbers."""

    def _search(self, features: Array, targets: Array, loss: Loss) -> Self:
        """Searches on raw features (N, F) and targets as the loss takes them (N, O); sets the fitted attributes."""
        random = check_random_state(self.random_state)
        first = int(random.randint(2**31 - 1))
        seeds = range(first, first + self.restarts)
        spread, centre = features.std(axis=0), features.mean(axis=0)
        self._centre = np.where(np.abs(centre) > 1e-12 * spread, centre, 0.0)  # what was centred already stays
        self._scale = np.where(spread > 1e-12 * np.abs(features).max(axis=0), spread, 1.0)  # a constant stays one
        task = self._task((features - self._centre) / self._scale, targets, loss, np.random.default_rng(seeds[0]))
        plan = Plan(rounds=self.rounds, candidates=Candidates(activations=tuple(self.activations)))
        outcome = search_restarts(task, plan, seeds, processes=self.n_jobs)
        self.front_ = [Found(m.complexity, self._error_of(m.loss), self._raw(m.graph)) for m in outcome.front]
        best = outcome.best
        self.complexity_, self.error_, self.graph_ = best.complexity, self._error_of(best.loss), self._raw(best.graph)
        self.history_ = outcome.histories
        if best.loss > task.max_loss:
            warn(
                f"no graph with an error of at most {self.max_error:g} was found, the best has {self.error_:g} with "
                f"{self.complexity_} parameters: allow a larger error or more rounds, or give features that tell more",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _task(self, inputs: Array, targets: Array, loss: Loss, rng: np.random.Generator) -> Task:
        everything = Points.shuffled(inputs, targets, loss, rng)
        held_out = int(self.validation_fraction * everything.num_points)
        judges = everything.part(0, held_out) if held_out else None
        points = everything.part(held_out, everything.num_points)
        shifted = tuple(np.flatnonzero(self._centre).tolist())
        if self.max_error is not None:
            return Task(points, self._loss_of(self.max_error), validation=judges, shifted=shifted)
        allowed = DEFAULT_COMPLEXITY if self.max_complexity is None else self.max_complexity
        return Task(points, max_complexity=allowed, validation=judges, shifted=shifted)

    def _check_parameters(self) -> None:
        if isinstance(self.activations, str) or not self.activations or not set(self.activations) <= set(ACTIVATIONS):
            raise ValueError(f"activations must be some of {tuple(ACTIVATIONS)}, got {self.activations!r}")
        if self.max_error is not None and self.max_complexity is not None:
            told = f"{self.max_error} and {self.max_complexity}"
            raise ValueError(
                f"max_error and max_complexity are two ways to state the bound, got {told}: give one of them"
            )
        if self.max_error is not None and not self.max_error > 0:
            raise ValueError(f"max_error must be above 0, got {self.max_error}")
        if self.max_complexity is not None and self.max_complexity < 1:
            raise ValueError(f"max_complexity must be at least 1 parameter, got {self.max_complexity}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in [0, 1), got {self.validation_fraction}")
        if min(self.restarts, self.n_jobs) < 1:
            raise ValueError(f"restarts and n_jobs must be at least 1, got {self.restarts} and {self.n_jobs}")

    def _evaluate(self, features: ArrayLike) -> Array:
        check_is_fitted(self)
        return evaluate(self.graph_, validate_data(self, features, dtype=np.float64, reset=False))


class GraphRegressor(MultiOutputMixin, RegressorMixin, _GraphEstimator):  # type: ignore[misc]  # no types
    """The least complex graph of neurons that predicts numbers within a bound on the error, or the best of a size.

    Features are standardised inside; the graph takes raw ones. It implements the published idea of alternating pruning
    of connections with adding of neurons (Khashin and Shemyakova, 2021); details are ours, see `modicum.graphs.search`.

    Args:
        max_error: Bound on the root mean squared error, in units of the targets; the number of parameters is minimised.
        max_complexity: Bound on the number of parameters instead; the error is minimised. With neither bound, 30.
        activations: Names to draw from for each new neuron: "tanh", "sin", "silu", "softplus".
        rounds: Of growing and pruning, in each restart.
        restarts: Searches from different seeds; the best counts.
        n_jobs: Processes that search side by side; the result does not depend on it.
        validation_fraction: Share of the samples that are not fitted and on which the bound is held instead; 0: none.
        random_state: Seed or generator of everything random.

    Attributes:
        graph_: The graph, on raw features and targets.
        complexity_: Its number of parameters.
        error_: Its root mean squared error on the samples that the bound is held on.
        front_: The graphs that no other beats in both complexity and error (`Found`), by rising complexity.
        history_: For each restart, every improvement (`modicum.graphs.search.Progress`; losses are of scaled targets).

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-2, 2, 200)[:, None]
        >>> model = GraphRegressor(max_error=0.02, rounds=5, random_state=0).fit(x, np.sin(2 * x[:, 0]))
        >>> model.error_ <= 0.02
        True
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Searches for the smallest graph within the bound.

        Args:
            X: Features, (N, F), finite numbers.
            y: Targets, (N,) or (N, T).

        Raises:
            ValueError: If the data or a parameter cannot be used.

        Warns:
            ConvergenceWarning: If no graph within ``max_error`` was found; the most accurate one is kept.
        """
        self._check_parameters()
        features, targets = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        targets = np.asarray(targets, dtype=np.float64)
        self._is_single = targets.ndim == 1
        table = targets.reshape(len(features), -1)
        self._target_centre = table.mean(axis=0)
        self._target_scale = float(np.sqrt(np.mean((table - self._target_centre) ** 2))) or 1.0
        return self._search(features, (table - self._target_centre) / self._target_scale, SquaredError())

    def predict(self, X: ArrayLike) -> Array:
        """Returns the predicted targets, (N,) or (N, T) as in `fit`, of features (N, F)."""
        outputs = self._evaluate(X)
        return outputs[:, 0] if self._is_single else outputs

    def _loss_of(self, error: float) -> float:
        return (error / self._target_scale) ** 2

    def _error_of(self, loss: float) -> float:
        return self._target_scale * float(np.sqrt(loss))

    def _raw(self, graph: Graph) -> Graph:
        return graph.rescaled(self._centre, self._scale, self._target_centre, self._target_scale)


class GraphClassifier(ClassifierMixin, _GraphEstimator):  # type: ignore[misc]  # no types
    """The least complex graph of neurons that tells classes within a bound on the cross-entropy, or the best of a size.

    One output per class, softmax over them; otherwise as `GraphRegressor`.

    Args:
        max_error: Bound on the mean cross-entropy in nats; the number of parameters is minimised.
        max_complexity: Bound on the number of parameters instead; the cross-entropy is minimised. With neither, 30.
        activations: As for `GraphRegressor`, like all that follow.
        rounds: Of growing and pruning.
        restarts: Searches from different seeds.
        n_jobs: Processes.
        validation_fraction: Share of the samples on which the bound is held.
        random_state: Seed or generator.

    Attributes:
        classes_: The labels, (K,), sorted.
        graph_: The graph, from raw features to one score per class.
        complexity_: Its number of parameters.
        error_: Its mean cross-entropy on the samples that the bound is held on.
        front_: As for `GraphRegressor`.
        history_: The same.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Searches for the smallest graph within the bound.

        Args:
            X: Features, (N, F), finite numbers.
            y: Labels, (N,), of at least two classes.

        Raises:
            ValueError: If the data or a parameter cannot be used.

        Warns:
            ConvergenceWarning: If no graph within ``max_error`` was found; the most accurate one is kept.
        """
        self._check_parameters()
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, indices = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"labels must be of at least two classes, got one class: {self.classes_.tolist()}")
        return self._search(features, np.eye(len(self.classes_))[indices], CrossEntropy())

    def predict_proba(self, X: ArrayLike) -> Array:
        """Returns class probabilities (N, K), in the order of ``classes_``, of features (N, F)."""
        return softmax(self._evaluate(X).T).T

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Returns the most probable label, (N,), of features (N, F)."""
        most_probable = np.argmax(self._evaluate(X), axis=1)
        return cast(NDArray[Any], self.classes_[most_probable])

    def _loss_of(self, error: float) -> float:
        return error

    def _error_of(self, loss: float) -> float:
        return loss

    def _raw(self, graph: Graph) -> Graph:
        return graph.rescaled(self._centre, self._scale)


@runtime_checkable
class Predictor(Protocol):
    """Anything with scikit-learn's ``predict``."""

    def predict(self, X: Any, /) -> ArrayLike:  # noqa: ANN401  scikit-learn's
        """Returns the outputs of features (N, F): (N,) or (N, T)."""


def imitate(
    predictor: Predictor | Callable[[Any], ArrayLike],
    X: ArrayLike,
    max_error: float,
    **options: Any,  # noqa: ANN401
) -> GraphRegressor:
    """Finds the smallest graph whose root mean squared difference from a predictor is within a bound.

    Args:
        predictor: A fitted estimator, or a function from features (N, F) to outputs (N,) or (N, T).
        X: Features (N, F) on which to imitate it; they need no targets, so there may be many. The predictor is given
            them as they are, such as a data frame; the graph needs numbers.
        max_error: Bound on the difference, in units of the outputs.
        **options: Arguments of `GraphRegressor`, such as ``rounds``.

    Returns:
        The fitted estimator.
    """
    features = np.asarray(X, dtype=np.float64) if isinstance(X, Sequence) else X
    outputs = predictor.predict(features) if isinstance(predictor, Predictor) else predictor(features)
    return GraphRegressor(max_error, **options).fit(features, np.asarray(outputs))
