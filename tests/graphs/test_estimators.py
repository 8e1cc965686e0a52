import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from modicum.graphs.estimators import GraphClassifier, GraphRegressor, imitate
from modicum.graphs.evaluation import evaluate

RNG = np.random.default_rng(0)
TABLE = RNG.uniform(0, 100, (200, 3))
TARGETS = 1000 + 300 * np.tanh((TABLE[:, 0] - 50) / 20) + TABLE[:, 1]


@parametrize_with_checks([GraphRegressor(rounds=1), GraphClassifier(rounds=1)])
def test_scikit_learn_accepts_the_estimators(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def regressor():
    return GraphRegressor(max_error=10, rounds=3, random_state=0).fit(TABLE, TARGETS)


def test_error_is_within_the_bound_in_units_of_the_targets(regressor):
    error = np.sqrt(np.mean((regressor.predict(TABLE) - TARGETS) ** 2))
    assert error <= 10
    assert regressor.error_ == pytest.approx(error)


def test_graph_takes_raw_features(regressor):
    np.testing.assert_array_equal(evaluate(regressor.graph_, TABLE)[:, 0], regressor.predict(TABLE))


def test_graph_is_as_small_as_the_truth(regressor):
    assert regressor.complexity_ == regressor.graph_.num_parameters <= 5  # x0 -> tanh -> y, x1 -> y


def test_front_and_history_tell_the_way(regressor):
    errors = [found.error for found in regressor.front_]
    assert errors == sorted(errors, reverse=True)
    assert next(found.complexity for found in regressor.front_ if found.error <= 10) == regressor.complexity_
    assert regressor.history_[0][0].round == 0


def test_size_can_be_the_bound():
    small = GraphRegressor(max_complexity=6, rounds=2, random_state=0).fit(TABLE, TARGETS)
    assert small.complexity_ <= 6
    assert small.score(TABLE, TARGETS) > 0.9


def test_several_targets_share_a_graph():
    both = np.stack([TARGETS, TABLE[:, 2]], axis=1)
    model = GraphRegressor(max_error=20, rounds=1, random_state=0).fit(TABLE, both)
    assert model.predict(TABLE).shape == (200, 2)
    assert model.score(TABLE, both) > 0.9


def test_bound_may_be_held_on_samples_that_are_not_fitted():
    model = GraphRegressor(max_error=20, rounds=1, validation_fraction=0.25, random_state=0).fit(TABLE, TARGETS)
    assert model.error_ <= 20


def test_a_bound_out_of_reach_warns_and_keeps_the_best():
    noise = np.random.default_rng(1).standard_normal(60)
    with pytest.warns(ConvergenceWarning, match="no graph with an error of at most 0.001 was found, the best has"):
        model = GraphRegressor(max_error=0.001, rounds=0, random_state=0).fit(TABLE[:60, :1] * 0, noise)
    assert np.isfinite(model.predict(TABLE[:, :1])).all()


def test_classes_keep_their_labels():
    data = load_iris()
    labels = data.target_names[data.target]
    model = GraphClassifier(max_error=0.15, rounds=2, random_state=0).fit(data.data, labels)
    assert model.score(data.data, labels) > 0.9
    np.testing.assert_allclose(model.predict_proba(data.data).sum(axis=1), 1)
    truth = model.predict_proba(data.data)[np.arange(150), data.target]
    assert model.error_ == pytest.approx(-np.log(truth).mean())
    assert model.error_ <= 0.15


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match=r"labels must be of at least two classes, got one class: \[1\]"):
        GraphClassifier().fit(TABLE, np.ones(200, dtype=int))


def test_pipelines_and_grids_take_the_estimator():
    pipeline = make_pipeline(StandardScaler(), GraphRegressor(rounds=0, random_state=0))
    grid = GridSearchCV(pipeline, {"graphregressor__max_complexity": [4, 8]}, cv=2)
    assert grid.fit(TABLE, TARGETS).best_score_ > 0.8


def test_clones_find_the_same(regressor):
    assert clone(regressor).fit(TABLE, TARGETS).graph_ == regressor.graph_


def test_another_predictor_is_imitated_within_the_bound():
    forest = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(TABLE, TARGETS)
    model = imitate(forest, TABLE, max_error=40, rounds=1, random_state=0)
    assert np.sqrt(np.mean((model.predict(TABLE) - forest.predict(TABLE)) ** 2)) <= 40


def test_a_predictor_that_wants_names_of_columns_is_given_them():
    frame = pytest.importorskip("pandas").DataFrame(
        TABLE, columns=[f"column {place}" for place in range(TABLE.shape[1])]
    )
    linear = LinearRegression().fit(frame, TARGETS)
    model = imitate(linear, frame, max_error=1.0, rounds=0, random_state=0)
    assert list(model.feature_names_in_) == list(frame.columns)


def test_rows_as_lists_are_imitated_on_as_numbers():
    model = imitate(lambda features: features[:, 0], TABLE.tolist(), max_error=0.05, rounds=0, random_state=0)
    assert model.error_ <= 0.05


def test_a_function_is_imitated_too():
    model = imitate(lambda features: np.sin(features[:, 0] / 30), TABLE, max_error=0.05, rounds=1, random_state=0)
    assert model.error_ <= 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 0.1, "max_complexity": 5}, "two ways to state the bound, got 0.1 and 5: give one"),
        ({"max_error": 0.0}, "max_error must be above 0, got 0.0"),
        ({"max_complexity": 0}, "max_complexity must be at least 1 parameter, got 0"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\), got 1.0"),
        ({"activations": ("relu",)}, r"activations must be some of \('tanh', .*\), got \('relu',\)"),
        ({"activations": "tanh"}, "got 'tanh'"),
        ({"activations": ()}, r"got \(\)"),
        ({"restarts": 0}, "restarts and n_jobs must be at least 1, got 0 and 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphRegressor(**options).fit(TABLE, TARGETS)
