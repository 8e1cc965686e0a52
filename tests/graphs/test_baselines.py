from dataclasses import replace

import numpy as np
import pytest

from modicum.graphs.baselines import library_baselines, measure, measure_graph, neat_baseline, simple_baselines
from modicum.graphs.encoding import Encoding
from modicum.graphs.graph import Graph
from modicum.graphs.preparation import Prepared
from modicum.graphs.problems import CONTEXT, Samples


def samples(function, count=200, num_inputs=2, seed=0):
    inputs = np.random.default_rng(seed).uniform(-1, 1, (count, num_inputs))
    return Samples(inputs, function(inputs))


def prepared_of(function, **changes):
    parts = {"train": samples(function), "test": samples(function, seed=1)}
    encoding = Encoding.of_numbers(("a", "b"), "y")
    return replace(Prepared("table", "numbers", encoding, parts, np.zeros(2), np.ones(2)), **changes)


CURVED = prepared_of(lambda inputs: inputs[:, 0] ** 2 + inputs[:, 1])
CLASSES = prepared_of(
    lambda inputs: (inputs[:, 0] > 0).astype(np.int64) + (inputs[:, 1] > 0.5),
    encoding=Encoding(CURVED.encoding.columns, "y", ("low", "middle", "high")),
)


def test_errors_are_root_mean_squares_of_every_part():
    method = measure("guess", lambda inputs: inputs[:, 1:], CURVED, parameters=0)
    expected = {name: np.sqrt(np.mean(part.inputs[:, 0] ** 4)) for name, part in CURVED.parts.items()}
    assert method.errors == pytest.approx(expected)
    assert method.accuracies == {}


def test_classes_are_judged_by_cross_entropy_and_accuracy():
    method = measure("guess", lambda inputs: np.tile([0.5, 0.25, 0.25], (len(inputs), 1)), CLASSES, parameters=0)
    share = np.mean(CLASSES.parts["test"].targets == 0)
    assert method.accuracies["test"] == pytest.approx(share)
    assert method.errors["test"] == pytest.approx(share * np.log(2) + (1 - share) * np.log(4))


def test_logits_of_a_graph_become_probabilities():
    graph = Graph.linear(2, 3).with_parameters([*np.zeros(6), *(np.log([0.5, 0.25, 0.25]) + 7)])
    expected = measure("guess", lambda inputs: np.tile([0.5, 0.25, 0.25], (len(inputs), 1)), CLASSES, parameters=0)
    assert measure_graph("graph", graph, CLASSES).errors == pytest.approx(expected.errors)


def test_mean_and_linear_regression_are_those_of_least_squares():
    mean, linear = simple_baselines(CURVED, 0)
    train = CURVED.parts["train"]
    design = np.c_[train.inputs, np.ones(len(train))]
    residual = train.targets - design @ np.linalg.lstsq(design, train.targets, rcond=None)[0]
    assert mean.errors["train"] == pytest.approx(train.targets.std(), rel=1e-4)
    assert linear.errors["train"] == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-4)
    assert (mean.parameters, linear.parameters) == (1, 3)


def test_next_pixel_has_its_known_guesses():
    parts = {"train": samples(lambda inputs: inputs[:, 0], num_inputs=12)}
    encoding = Encoding.of_numbers(tuple(CONTEXT), "brightness")
    prepared = Prepared("next-pixel", "pixels", encoding, parts, np.zeros(12), np.ones(12))
    methods = {method.name: method for method in simple_baselines(prepared, 0)}
    assert methods["the left pixel"].errors["train"] == 0
    assert methods["median edge"].parameters == 0


@pytest.mark.parametrize("prepared", [CURVED, CLASSES], ids=["numbers", "classes"])
def test_libraries_methods_are_no_larger_than_the_graph_and_better_than_nothing(prepared):
    methods = list(library_baselines(prepared, 40, 0))
    nothing = next(simple_baselines(prepared, 0))
    assert [method.name for method in methods] == [
        "scikit-learn MLP, lbfgs",
        "scikit-learn MLP, adam",
        "gradient boosting of equal size",
    ]
    for method in methods:
        assert method.parameters <= 40
        assert method.errors["train"] < nothing.errors["train"]


def test_nothing_is_fitted_where_nothing_is_small_enough():
    assert list(library_baselines(CURVED, 2, 0)) == []


def test_neat_is_measured_as_it_is_and_refitted():
    pytest.importorskip("neat", reason="the neat extra is not installed")
    evolved, refitted = neat_baseline(CURVED, seconds=0.2, seed=0)
    assert refitted.errors["train"] < evolved.errors["train"]
    assert refitted.parameters == evolved.parameters
