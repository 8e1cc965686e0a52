"""A network whose training is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.reading.evaluation import baseline_path
from modicum.reading.qanet.fitting import BASELINE, STAGE, fit
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


def new_run(path):
    return RunFolder.create(path, system="qanet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed_twice(quick_options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed after the first epoch of each of its stages, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, quick_options, STAGE, folder / "first.log")
    assert run.finished_stages() == []
    kill_during(run, quick_options, BASELINE, folder / "second.log")
    assert run.finished_stages() == [STAGE]
    fit(build_recipe(QANetRecipe, quick_options), run)
    return run


@pytest.fixture
def undisturbed(quick_training):
    return quick_training[0]


def test_killed_network_ends_with_the_same_bits(killed_twice, undisturbed):
    torch.testing.assert_close(load_file(killed_twice.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_baseline_ends_with_the_same_bits(killed_twice, undisturbed):
    ours, theirs = (load_file(baseline_path(run)) for run in (killed_twice, undisturbed))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_killed_network_logs_what_the_undisturbed_one_logs(killed_twice, undisturbed):
    assert read_jsonl(killed_twice.metrics) == read_jsonl(undisturbed.metrics)
