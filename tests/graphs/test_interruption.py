"""A search that is killed, not asked to stop, goes on to the very graph of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.training import fit, front_path
from modicum.recipes import build_recipe
from modicum.storage.files import read_json_object, read_jsonl
from modicum.storage.runs import RunFolder

pytest.importorskip("skimage", reason="the graphs extra is not installed")
OPTIONS = {"max_error": 0.12, "image": {"side": 16}, "search": {"rounds": 14, "restarts": 2}, "baselines": False}


def new_run(path):
    return RunFolder.create(path, system="graphs", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed(tmp_path_factory, kill_when):
    """The run folder of a search that was killed after some rounds of both restarts, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")

    def has_both_begun():
        return run.metrics.exists() and {row["restart"] for row in read_jsonl(run.metrics)} == {0, 1}

    kill_when(run, OPTIONS, has_both_begun, folder / "driver.log")
    assert not run.weights.exists()
    fit(build_recipe(GraphsRecipe, OPTIONS), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(GraphsRecipe, OPTIONS), run)
    return run


def test_killed_search_ends_with_the_same_graph(killed, undisturbed):
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_search_ends_with_the_same_front(killed, undisturbed):
    ours, theirs = (read_json_object(front_path(run)) for run in (killed, undisturbed))
    assert ours["graphs"] == theirs["graphs"]
