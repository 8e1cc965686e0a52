"""A training that is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.drnet.fitting import fit
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="module")
def options(digits_folder):
    """Augmentation, Gumbel noise, momentum and batch statistics: all that a resumption must not lose."""
    return {
        "data": str(digits_folder),
        "backbone": "digit_resnet",
        "resolutions": [32, 16],
        "predictor": "small",
        "budget": 0.7,
        "multi_resolution_epochs": 3,
        "joint_epochs": 3,
        "statistics": "reestimated",
        "baselines": False,
        "images": {"batch_size": 16, "crop": "pad", "flip": True, "num_workers": 0},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


def new_run(path):
    return RunFolder.create(path, system="drnet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed_twice(options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed in both stages and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, options, "multi_resolution", folder / "first.log")
    assert run.finished_stages() == []
    kill_during(run, options, "joint", folder / "second.log")
    assert run.finished_stages() == ["multi_resolution"]
    fit(build_recipe(DRNetRecipe, options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(DRNetRecipe, options), run)
    return run


def test_killed_training_ends_with_the_same_bits(killed_twice, undisturbed):
    torch.testing.assert_close(load_file(killed_twice.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_training_logs_each_step_once(killed_twice):
    rows = read_jsonl(killed_twice.metrics)
    times = Counter((row["stage"], row["step"], "train/loss" in row) for row in rows)
    assert max(times.values()) == 1


def test_killed_training_logs_what_the_undisturbed_one_logs(killed_twice, undisturbed):
    assert read_jsonl(killed_twice.metrics) == read_jsonl(undisturbed.metrics)


def test_splits_are_drawn_once(killed_twice, undisturbed):
    assert killed_twice.splits.read_text() == undisturbed.splits.read_text()
