"""A network whose training is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.recipes import build_recipe
from modicum.saliency.evaluation import baseline_path
from modicum.saliency.fitting import BASELINE, STAGE, fit
from modicum.saliency.recipe import SaliencyRecipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="module")
def options(scenes_folder):
    """Augmentation, momentum, averaged weights and batch statistics: all that a resumption must not lose."""
    return {
        "data": str(scenes_folder),
        "image_px": 32,
        "network": {"encoder": "small", "width": 8, "steps": 1},
        "epochs": 3,
        "ema_decay": 0.9,
        "images": {"batch_size": 4, "batch_px": [32, 40]},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


def new_run(path):
    return RunFolder.create(path, system="saliency", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed_twice(options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed after the first epoch of each of its stages, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, options, STAGE, folder / "first.log")
    assert run.finished_stages() == []
    kill_during(run, options, BASELINE, folder / "second.log")
    assert run.finished_stages() == [STAGE]
    fit(build_recipe(SaliencyRecipe, options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(SaliencyRecipe, options), run)
    return run


def test_killed_network_ends_with_the_same_bits(killed_twice, undisturbed):
    torch.testing.assert_close(load_file(killed_twice.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_baseline_ends_with_the_same_bits(killed_twice, undisturbed):
    ours, theirs = (load_file(baseline_path(run)) for run in (killed_twice, undisturbed))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_killed_network_logs_what_the_undisturbed_one_logs(killed_twice, undisturbed):
    assert read_jsonl(killed_twice.metrics) == read_jsonl(undisturbed.metrics)
