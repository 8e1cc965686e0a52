"""A training that is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.ranet.fitting import fit
from modicum.classify.ranet.recipe import RANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="module")
def options(digit_folder):
    """Augmentation, momentum, batch statistics and a fitted rule: all that a resumption must not lose."""
    return {
        "data": str(digit_folder),
        "structure": {
            "scales": [1, 2],
            "growth_factors": [2, 1],
            "bottleneck_factors": [2, 1],
            "base_channels": 8,
            "growth": 4,
            "first_blocks": 1,
            "block_step": 1,
            "layers": 2,
        },
        "image_px": 16,
        "head": "lite",
        "temperature": True,
        "budget": 0.9,
        "epochs": 3,
        "schedule": {"kind": "one_cycle"},
        "baselines": False,
        "images": {"batch_size": 16, "crop": "pad", "flip": True, "num_workers": 0},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


def new_run(path):
    return RunFolder.create(path, system="ranet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed(options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, options, "exits", folder / "output.log")
    assert run.finished_stages() == []
    fit(build_recipe(RANetRecipe, options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(RANetRecipe, options), run)
    return run


def test_killed_training_ends_with_the_same_bits(killed, undisturbed):
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_training_logs_each_step_once(killed):
    rows = read_jsonl(killed.metrics)
    times = Counter((row["stage"], row["step"], "train/loss" in row) for row in rows)
    assert max(times.values()) == 1


def test_killed_training_logs_what_the_undisturbed_one_logs(killed, undisturbed):
    assert read_jsonl(killed.metrics) == read_jsonl(undisturbed.metrics)


def test_splits_are_drawn_once(killed, undisturbed):
    assert killed.splits.read_text() == undisturbed.splits.read_text()
