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

FINISHED = {STAGE: [], BASELINE: [STAGE]}  # stages that are done when one is killed


def new_run(path):
    return RunFolder.create(path, system="qanet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module", params=FINISHED)
def killed(request, quick_options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed after the first epoch of one of its stages, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, quick_options, request.param, folder / "driver.log")
    assert run.finished_stages() == FINISHED[request.param]
    fit(build_recipe(QANetRecipe, quick_options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(quick_options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(QANetRecipe, quick_options), run)
    return run


def test_killed_network_ends_with_the_same_bits(killed, undisturbed):
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_baseline_ends_with_the_same_bits(killed, undisturbed):
    ours, theirs = (load_file(baseline_path(run)) for run in (killed, undisturbed))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_killed_network_logs_what_the_undisturbed_one_logs(killed, undisturbed):
    assert read_jsonl(killed.metrics) == read_jsonl(undisturbed.metrics)
