"""A training of both decisions that is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from modicum.classify.resolution_and_blocks.fitting import fit
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder

DRIVER = """
import json, sys
from modicum.classify.resolution_and_blocks.fitting import fit
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.recipes import build_recipe
from modicum.storage.runs import RunFolder

fit(build_recipe(ResolutionAndBlocksRecipe, json.loads(sys.argv[2])), RunFolder.open(sys.argv[1]))
"""
DEADLINE_S = 180  # imports alone take 15 s on two busy cores


def new_run(path):
    return RunFolder.create(path, system="resolution-and-blocks", recipe_text="", command="", versions={})


def is_in_second_epoch(run, stage):
    """Whether the checkpoint of the first epoch is there and a later epoch is under way."""
    if not (run.stage(stage) / "last.ckpt").exists() or not run.metrics.exists():
        return False
    return any(row["stage"] == stage and "train/loss" in row and row["epoch"] >= 1 for row in read_jsonl(run.metrics))


def kill_during(run, options, stage, log):
    """Trains in another process, and kills that in the middle of an epoch of ``stage``."""
    deadline = time.monotonic() + DEADLINE_S
    with log.open("w") as output:
        command = [sys.executable, "-W", "error", "-c", DRIVER, str(run.path), json.dumps(options)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None and time.monotonic() < deadline and not is_in_second_epoch(run, stage):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()


@pytest.fixture(scope="module")
def runs(digit_folder, tmp_path_factory):
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
