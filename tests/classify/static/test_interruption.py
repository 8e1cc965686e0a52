"""A family whose training is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.static.fitting import fit
from modicum.classify.static.recipe import StaticRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder

SECOND = "digit_resnet"


@pytest.fixture(scope="module")
def options(colours_folder):
    """Augmentation, momentum and batch statistics: all that a resumption must not lose."""
    return {
        "data": str(colours_folder),
        "members": ["photo_resnet", SECOND],
        "budget": 0.8,
        "epochs": 3,
        "images": {"batch_size": 4, "crop": "pad", "flip": True, "num_workers": 0},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


def new_run(path):
    return RunFolder.create(path, system="static", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed(options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed in the middle of its second member, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, options, SECOND, folder / "driver.log")
    assert run.finished_stages() == ["photo_resnet"]
    fit(build_recipe(StaticRecipe, options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(StaticRecipe, options), run)
    return run


def test_killed_family_ends_with_the_same_bits(killed, undisturbed):
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_family_logs_what_the_undisturbed_one_logs(killed, undisturbed):
    assert read_jsonl(killed.metrics) == read_jsonl(undisturbed.metrics)
