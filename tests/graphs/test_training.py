import itertools
import json

import numpy as np
import pytest

from modicum.graphs.evaluation import evaluate
from modicum.graphs.preparation import prepare
from modicum.graphs.recipe import GraphsRecipe, ImageOptions, SearchLimits
from modicum.graphs.training import (
    fit,
    layered_path,
    make_plan,
    make_task,
    read_baselines,
    read_front,
    read_front_graphs,
)
from modicum.storage.errors import DataError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.systems import network_builders

pytest.importorskip("skimage", reason="the graphs extra is not installed")
RECIPE = GraphsRecipe(max_error=0.12, image=ImageOptions(side=16), search=SearchLimits(4, restarts=1), baselines=False)


def run_at(path):
    return RunFolder.create(path, system="graphs", recipe_text="seed: 0\n", command="test", versions={})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and the network that its training returned."""
    run = run_at(tmp_path_factory.mktemp("runs") / "finished")
    return run, fit(RECIPE, run)


def test_graph_that_is_saved_keeps_the_bound_on_raw_points(finished):
    run, network = finished
    saved = load_network(run.weights, network_builders())
    assert saved.graph == network.graph
    points = prepare(RECIPE).parts["train"]
    errors = evaluate(saved.graph, points.inputs)[:, 0] - points.targets
    assert np.sqrt(np.mean(errors**2)) <= RECIPE.max_error


def test_front_is_kept_with_its_graphs(finished):
    run, network = finished
    points, steps = read_front(run)
    graphs = read_front_graphs(run, prepare(RECIPE))
    assert [graph.num_parameters for graph in graphs] == [point.parameters for point in points]
    assert all(a.error > b.error for a, b in itertools.pairwise(points))
    assert steps[-1].parameters == network.graph.num_parameters


def test_log_has_complexity_and_error_of_every_few_rounds(finished):
    rows = read_jsonl(finished[0].metrics)
    assert all(row["stage"] == "search" and row["complexity"] > 0 and row["error"] > 0 for row in rows)


def test_resumed_search_ends_with_the_graph_of_one_that_was_not_interrupted(finished, tmp_path, monkeypatch):
    run = run_at(tmp_path / "run")
    monkeypatch.setattr("modicum.graphs.restarts.ROUNDS_AT_ONCE", 1)

    def interrupt(self, seed, progress):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("modicum.graphs.training.append_jsonl", lambda *args: interrupt(None, *args))
        with pytest.raises(RuntimeError, match="killed"):
            fit(RECIPE, run)
    state = json.loads(next(run.stage("search").glob("*.json")).read_text())
    assert state["round"] < RECIPE.search.rounds
    assert fit(RECIPE, run).graph == finished[1].graph


def test_interrupted_search_keeps_the_best_graph_and_says_how_to_go_on(finished, tmp_path, monkeypatch, caplog):
    run = run_at(tmp_path / "run")
    monkeypatch.setattr("modicum.graphs.restarts.ROUNDS_AT_ONCE", 1)

    def interrupt(path, row):
        if row["step"] >= 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr("modicum.graphs.training.append_jsonl", interrupt)
        network = fit(RECIPE, run)
    assert run.weights.exists()
    assert network.graph.num_parameters >= finished[1].graph.num_parameters
    assert "the search was interrupted: --resume goes on with it" in caplog.text
    assert read_baselines(run) == ((), ())
    assert fit(RECIPE, run).graph == finished[1].graph
    assert run.finished_stages() == ["baselines"]


def test_other_data_under_the_same_name_are_refused(finished):
    run, _ = finished
    with pytest.raises(DataError, match=r"samples of the photograph 'coins' .* are not what .* was begun with"):
        fit(GraphsRecipe(data="coins", max_error=0.12, image=ImageOptions(side=16)), run)


def test_bound_that_nothing_keeps_leaves_the_best_with_a_warning(tmp_path, caplog):
    recipe = GraphsRecipe(data="grass", max_error=1e-4, image=ImageOptions(side=8), search=SearchLimits(0, restarts=1))
    with caplog.at_level("WARNING"):
        fit(recipe, run_at(tmp_path / "run"))
    assert "no graph kept the bound of 0.0001: the one of least error" in caplog.text


def test_complexity_can_be_bounded_instead(tmp_path):
    recipe = GraphsRecipe(max_complexity=9, image=ImageOptions(side=12), search=SearchLimits(3, restarts=1))
    run = run_at(tmp_path / "run")
    assert fit(recipe, run).graph.num_parameters <= 9
    methods, _ = read_baselines(run)
    assert methods[1].name == "best layered network"
    assert methods[1].parameters <= 9


def test_layered_network_is_searched_for_the_same_cpu_time(tmp_path):
    recipe = GraphsRecipe(max_error=0.14, image=ImageOptions(side=12), search=SearchLimits(6, restarts=1))
    run = run_at(tmp_path / "run")
    fit(recipe, run)
    graph, layered, *others = read_baselines(run)[0]
    assert layered.name == "smallest layered network"
    assert layered.errors["train"] <= 0.14
    assert layered.seconds >= graph.seconds * 0.9 or "1, of" in layered.note
    assert layered_path(run).exists()
    assert {"linear regression", "gradient boosting of equal size"} <= {method.name for method in others}


def test_any_activation_means_all():
    plan = make_plan(GraphsRecipe(activation="any"))
    assert plan.candidates.activations == ("tanh", "sin", "silu", "softplus")


def test_bound_is_held_on_the_points_that_the_recipe_names(tmp_path):
    pd = pytest.importorskip("pandas", reason="the graphs extra is not installed")
    pd.DataFrame({"a": np.arange(50.0), "y": np.arange(50.0) ** 2}).to_csv(tmp_path / "t.csv", index=False)
    recipe = GraphsRecipe(data=str(tmp_path / "t.csv"), max_error=1.0, bound_on="validation")
    task = make_task(prepare(recipe), recipe)
    assert task.validation is not None
    assert task.validation.num_points == 10
