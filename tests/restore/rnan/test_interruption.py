"""A network whose training is killed, not asked to stop, goes on to the very weights of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from modicum.recipes import build_recipe
from modicum.restore.evaluation import baseline_path
from modicum.restore.rnan.fitting import fit
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder

DRIVER = """
import json, sys
from modicum.restore.rnan.fitting import fit
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.recipes import build_recipe
from modicum.storage.runs import RunFolder

fit(build_recipe(RNANRecipe, json.loads(sys.argv[2])), RunFolder.open(sys.argv[1]))
"""
DEADLINE_S = 180  # imports alone take 15 s on two busy cores


def new_run(path):
    return RunFolder.create(path, system="rnan", recipe_text="", command="", versions={})


def is_in_second_epoch(run, stage):
    """Whether the checkpoint of the first epoch is there and a later epoch is under way."""
    if not (run.stage(stage) / "last.ckpt").exists():
        return False
    return any(row["stage"] == stage and "train/loss" in row and row["epoch"] >= 1 for row in read_jsonl(run.metrics))


@pytest.fixture(scope="module", params=["restoration", "dncnn"])
def killed(request, quick_options, tmp_path_factory):
    """The run folder of a training that was killed in the middle of a stage's second epoch, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run, log, deadline = new_run(folder / "run"), folder / "driver.log", time.monotonic() + DEADLINE_S
    with log.open("w") as output:
        command = [sys.executable, "-W", "error", "-c", DRIVER, str(run.path), json.dumps(quick_options)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None and time.monotonic() < deadline and not is_in_second_epoch(run, request.param):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()
    assert request.param not in run.finished_stages()
    fit(build_recipe(RNANRecipe, quick_options), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(quick_options, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    fit(build_recipe(RNANRecipe, quick_options), run)
    return run


def test_killed_network_and_its_baseline_end_with_the_same_bits(killed, undisturbed):
    for path in (lambda run: run.weights, baseline_path):
        torch.testing.assert_close(load_file(path(killed)), load_file(path(undisturbed)), rtol=0, atol=0)


def test_killed_network_logs_what_the_undisturbed_one_logs(killed, undisturbed):
    assert read_jsonl(killed.metrics) == read_jsonl(undisturbed.metrics)
