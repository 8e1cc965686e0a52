"""A network whose training is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.recipes import build_recipe
from modicum.restore.evaluation import baseline_path
from modicum.restore.rnan.fitting import fit
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


def new_run(path):
    return RunFolder.create(path, system="rnan", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed_twice(quick_options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed in the second epoch of each of its stages, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    for number, stage in enumerate(("restoration", "dncnn")):
        kill_during(run, quick_options, stage, folder / f"{number}.log")
        assert stage not in run.finished_stages()
    fit(build_recipe(RNANRecipe, quick_options), run)
    return run


@pytest.fixture
def undisturbed(quick_training):
    return quick_training[0]


def test_killed_network_and_its_baseline_end_with_the_same_bits(killed_twice, undisturbed):
    for path in (lambda run: run.weights, baseline_path):
        torch.testing.assert_close(load_file(path(killed_twice)), load_file(path(undisturbed)), rtol=0, atol=0)


def test_killed_network_logs_what_the_undisturbed_one_logs(killed_twice, undisturbed):
    assert read_jsonl(killed_twice.metrics) == read_jsonl(undisturbed.metrics)
