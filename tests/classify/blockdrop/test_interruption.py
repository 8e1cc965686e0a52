"""A training that is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.blockdrop.fitting import fit
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="module")
def options(digit_folder):
    """A curriculum, draws, augmentation, images drawn per epoch, momentum and statistics: all that must not be lost."""
    return {
        "data": str(digit_folder),
        "backbone": "digit_resnet",
        "policy": "small",
        "budget": 0.9,
        "base_epochs": 1,
        "policy_epochs": 3,
        "joint_epochs": 3,
        "joint_rate": 0.001,
        "norm": "active",
        "policy_batch_size": 16,
        "joint_batch_size": None,
        "images_per_epoch": 200,
        "baselines": False,
        "images": {"batch_size": 16, "crop": "pad", "flip": True, "num_workers": 0},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


def new_run(path):
    return RunFolder.create(path, system="blockdrop", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def killed_twice(options, tmp_path_factory, kill_during):
    """The run folder of a training that was killed in stages 1 and 2 and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    kill_during(run, options, "policy", folder / "first.log")
    assert run.finished_stages() == ["base"]
    kill_during(run, options, "joint", folder / "second.log")
    assert run.finished_stages() == ["base", "policy"]
    fit(build_recipe(BlockDropRecipe, options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(BlockDropRecipe, options), run)
    return run


def test_killed_training_ends_with_the_same_bits(killed_twice, undisturbed):
    torch.testing.assert_close(load_file(killed_twice.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_training_logs_what_the_undisturbed_one_logs(killed_twice, undisturbed):
    assert read_jsonl(killed_twice.metrics) == read_jsonl(undisturbed.metrics)


@pytest.fixture(scope="module")
def gated(options):
    """A base on random paths, sampled gates, tuned baselines and an ordinary network: more that must not be lost."""
    return options | {
        "budget": 1.0,
        "base_epochs": 3,
        "base_drop": 0.9,
        "method": "gates",
        "norm": "frozen",
        "policy_epochs": 1,
        "joint_epochs": 3,
        "images_per_epoch": 100,
        "baselines": True,
    }


@pytest.fixture(scope="module")
def gated_runs(gated, tmp_path_factory, kill_during):
    """The run folders of two trainings: killed in the base and in the gates' stage 2, and undisturbed."""
    folder = tmp_path_factory.mktemp("gated")
    killed, undisturbed = new_run(folder / "killed"), new_run(folder / "undisturbed")
    kill_during(killed, gated, "base", folder / "first.log")
    assert killed.finished_stages() == []
    kill_during(killed, gated, "joint", folder / "second.log")
    assert killed.finished_stages() == ["base", "policy"]
    for run in (killed, undisturbed):
        fit(build_recipe(BlockDropRecipe, gated), run)
    return killed, undisturbed


def test_killed_training_of_gates_ends_with_the_same_bits(gated_runs):
    killed, undisturbed = gated_runs
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_baselines_of_a_killed_training_are_those_of_the_undisturbed_one(gated_runs):
    killed, undisturbed = gated_runs
    assert killed.baselines.read_text() == undisturbed.baselines.read_text()
