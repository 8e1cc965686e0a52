"""A training of both decisions that is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.resolution_and_blocks.fitting import fit
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder


def new_run(path):
    return RunFolder.create(path, system="resolution-and-blocks", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def runs(digit_folder, tmp_path_factory, kill_during):
    """The run folders of two trainings: killed in the joint stage and finished, and undisturbed."""
    options = {
        "data": str(digit_folder),
        "backbone": "digit_resnet",
        "resolutions": [32, 16],
        "predictor": "small",
        "policy": "small",
        "budget": 1.0,
        "multi_resolution_epochs": 1,
        "joint_epochs": 3,
        "optimizer": {"learning_rate": 0.05},
        "baselines": False,
        "images": {"batch_size": 25, "crop": "pad", "flip": True, "num_workers": 0},
        "trainer": {"accelerator": "cpu", "threads": 1},
    }
    folder = tmp_path_factory.mktemp("both")
    killed, undisturbed = new_run(folder / "killed"), new_run(folder / "undisturbed")
    kill_during(killed, options, "joint", folder / "killed.log")
    assert killed.finished_stages() == ["multi_resolution"]
    for run in (killed, undisturbed):
        fit(build_recipe(ResolutionAndBlocksRecipe, options), run)
    return killed, undisturbed


def test_killed_training_ends_with_the_same_bits(runs):
    killed, undisturbed = runs
    torch.testing.assert_close(load_file(killed.weights), load_file(undisturbed.weights), rtol=0, atol=0)


def test_killed_training_logs_what_the_undisturbed_one_logs(runs):
    killed, undisturbed = runs
    assert read_jsonl(killed.metrics) == read_jsonl(undisturbed.metrics)
