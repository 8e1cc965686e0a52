"""What a searched graph is held against: layered networks, regression, boosting, evolution, and known guesses."""

# N rows, O outputs
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from modicum.graphs.activations import Array
from modicum.graphs.evaluation import evaluate
from modicum.graphs.graph import Graph
from modicum.graphs.layered import layers_of, shape_of_size
from modicum.graphs.levenberg_marquardt import Effort, fit
from modicum.graphs.losses import softmax
from modicum.graphs.neat import evolve
from modicum.graphs.preparation import Prepared
from modicum.graphs.problems import left_pixel, median_edge
from modicum.graphs.results import Method
from modicum.storage.errors import MissingExtraError

Predict = Callable[[Array], Array]
"""From raw inputs (N, F) to raw outputs: numbers (N, 1), or probabilities of the classes (N, O)."""

MLP_ITERATIONS = 2000
MLP_DEPTHS = (1, 2, 3)
BOOSTING_LEAVES = (2, 4, 8, 16)
BOOSTING_RATES = (0.1, 0.3, 1.0)
LEAST_PROBABILITY = 1e-12


def measure(
    name: str,
    predict: Predict,
    prepared: Prepared,
    *,
    parameters: int | None,
    seconds: float | None = None,
    note: str = "",
) -> Method:
    """Measures a way to predict on every part of the data.

    Args:
        name: What a reader calls it.
        predict: Predicts from raw inputs.
        prepared: The problem.
        parameters: Number of fitted parameters.
        seconds: CPU time of the fit.
        note: Remark for readers of the report.
    """
    errors, accuracies = {}, {}
    for part, samples in prepared.parts.items():
        predicted = predict(samples.inputs)
        if prepared.is_classification:
            right = predicted[np.arange(len(samples)), samples.targets]
            errors[part] = float(-np.log(np.maximum(right, LEAST_PROBABILITY)).mean())
            accuracies[part] = float((predicted.argmax(axis=1) == samples.targets).mean())
        else:
            errors[part] = float(np.sqrt(np.mean((predicted[:, 0] - samples.targets) ** 2)))
    return Method(name, parameters, errors, accuracies, seconds, note)


def measure_graph(
    name: str, graph: Graph, prepared: Prepared, *, seconds: float | None = None, note: str = ""
) -> Method:
    """Measures a graph on raw inputs; see `measure`."""

    def predict(inputs: Array) -> Array:
        outputs = evaluate(graph, inputs)
        return softmax(outputs.T).T if prepared.is_classification else outputs

    return measure(name, predict, prepared, parameters=graph.num_parameters, seconds=seconds, note=note)


def simple_baselines(prepared: Prepared, seed: int) -> Iterator[Method]:
    """Yields the fast baselines: the mean, linear regression and, for the next pixel, two known guesses."""
    nothing = _fitted(Graph(len(prepared.centre), prepared.num_outputs, (), *_no_edges(prepared)), prepared, seed)
    yield measure_graph("always the mean" if not prepared.is_classification else "always the same", nothing, prepared)
    linear = _fitted(Graph.linear(len(prepared.centre), prepared.num_outputs), prepared, seed)
    yield measure_graph(f"{'logistic' if prepared.is_classification else 'linear'} regression", linear, prepared)
    if prepared.kind == "next-pixel":
        yield measure("the left pixel", lambda inputs: left_pixel(inputs)[:, None], prepared, parameters=0)
        note = "the predictor of lossless JPEG-LS"
        yield measure("median edge", lambda inputs: median_edge(inputs)[:, None], prepared, parameters=0, note=note)


def library_baselines(prepared: Prepared, parameters: int, seed: int) -> Iterator[Method]:
    """Yields scikit-learn's layered networks and boosted trees with at most as many parameters.

    Args:
        prepared: The problem.
        parameters: Parameters of the graph that they are compared with.
        seed: Seed of all random numbers.
    """
    for solver in ("lbfgs", "adam"):
        method = _perceptron(prepared, parameters, solver, seed)
        if method is not None:
            yield method
    method = _boosting(prepared, parameters, seed)
    if method is not None:
        yield method


def neat_baseline(prepared: Prepared, *, seconds: float, seed: int) -> Iterator[Method]:
    """Yields what NEAT evolves within some CPU time, as it is and with its weights refitted."""
    start = time.process_time()
    evolved, refitted = evolve(prepared.points("train", np.random.default_rng(seed)), seconds=seconds, seed=seed)
    took = time.process_time() - start
    yield measure_graph("NEAT", prepared.raw(evolved.graph), prepared, seconds=took, note="untuned, population 100")
    note = "the same topology, its weights by Levenberg-Marquardt"
    yield measure_graph("NEAT, refitted", prepared.raw(refitted.graph), prepared, seconds=took, note=note)


def missing_libraries(*, wants_neat: bool) -> tuple[str, ...]:
    """Returns the baselines that cannot be made on this machine, and how to get them."""
    if not wants_neat or importlib.util.find_spec("neat") is not None:
        return ()
    return (f"NEAT: {MissingExtraError('neat-python', 'neat')}.",)


def _no_edges(prepared: Prepared) -> tuple[Any, ...]:
    none = np.zeros(0, dtype=np.int64)
    return none, none, np.zeros(0), np.zeros(prepared.num_outputs)


def _fitted(graph: Graph, prepared: Prepared, seed: int) -> Graph:
    points = prepared.points("train", np.random.default_rng(seed))
    return prepared.raw(fit(graph, points, Effort(60, 1e-9)).graph)


def _perceptron(prepared: Prepared, parameters: int, solver: str, seed: int) -> Method | None:
    """Returns the depth with the lowest training error; None if not even one neuron fits the budget."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPClassifier if prepared.is_classification else MLPRegressor
    outputs = 1 if prepared.num_outputs == 2 else prepared.num_outputs  # of two classes it fits one logit
    shapes = [shape_of_size(len(prepared.centre), outputs, depth, parameters) for depth in MLP_DEPTHS]
    inputs, targets = _for_library(prepared)
    found = []
    for shape in (shape for shape in shapes if shape is not None):
        start = time.process_time()
        model = kind(
            hidden_layer_sizes=shape,
            activation="tanh",
            solver=solver,
            max_iter=_iterations(solver),
            tol=1e-7,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the limit of iterations is ours
            model.fit(inputs, targets)
        count = sum(weights.size for weights in (*model.coefs_, *model.intercepts_))
        found.append(
            measure(
                f"scikit-learn MLP, {solver}",
                _library_predict(model, prepared),
                prepared,
                parameters=count,
                seconds=time.process_time() - start,
                note=f"best of {len(MLP_DEPTHS)} shapes: {'-'.join(map(str, shape))}, one start each",
            )
        )
    return min(found, key=lambda method: method.errors["train"], default=None)


def _iterations(solver: str) -> int:
    return MLP_ITERATIONS if solver == "lbfgs" else 300  # of adam these are passes over all points


def _boosting(prepared: Prepared, parameters: int, seed: int) -> Method | None:
    """Fits boosted trees with at most ``parameters`` thresholds and leaf values; column choices are not counted."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingClassifier if prepared.is_classification else GradientBoostingRegressor
    trees_at_once = 1 if prepared.num_outputs <= 2 else prepared.num_outputs
    inputs, targets = _for_library(prepared)
    found = []
    for leaves in BOOSTING_LEAVES:
        per_stage = trees_at_once * (2 * leaves - 1)
        stages = (parameters - trees_at_once) // per_stage
        if stages < 1:
            continue
        for rate in BOOSTING_RATES:
            start = time.process_time()
            model = kind(
                n_estimators=stages, max_leaf_nodes=leaves, max_depth=None, learning_rate=rate, random_state=seed
            )
            model.fit(inputs, targets)
            found.append(
                measure(
                    "gradient boosting of equal size",
                    _library_predict(model, prepared),
                    prepared,
                    parameters=stages * per_stage + trees_at_once,
                    seconds=time.process_time() - start,
                    note=f"{stages} stages of {leaves} leaves; thresholds and leaf values count, the columns do not",
                )
            )
    return min(found, key=lambda method: method.errors["train"], default=None)


def _for_library(prepared: Prepared) -> tuple[Array, Any]:
    train = prepared.parts["train"]
    inputs = prepared.standardised(train.inputs)
    targets = train.targets if prepared.is_classification else prepared.standardised_targets(train.targets)[:, 0]
    return inputs, targets


def _library_predict(model: Any, prepared: Prepared) -> Predict:  # noqa: ANN401  an estimator of scikit-learn
    def predict(inputs: Array) -> Array:
        standardised = prepared.standardised(inputs)
        if not prepared.is_classification:
            numbers: Array = model.predict(standardised)[:, None]
            return prepared.target_centre + prepared.target_scale * numbers
        probabilities = np.zeros((len(inputs), prepared.num_outputs))
        probabilities[:, model.classes_] = model.predict_proba(standardised)
        return probabilities

    return predict


def layered_note(graph: Graph, fits: int) -> str:
    """Returns the remark on the layered network for readers of the report."""
    shape = "-".join(map(str, layers_of(graph)))
    return f"hidden layers {shape}, of {fits:,} fits by the same optimiser in the same CPU time"
