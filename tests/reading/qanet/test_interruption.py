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

from modicum.reading.evaluation import baseline_path
from modicum.reading.qanet.fitting import BASELINE, STAGE, fit
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder

DRIVER = """
import json, sys
from modicum.reading.qanet.fitting import fit
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.runs import RunFolder

fit(build_recipe(QANetRecipe, json.loads(sys.argv[2])), RunFolder.open(sys.argv[1]))
"""
DEADLINE_S = 240  # imports alone take 15 s on two busy cores
FINISHED = {STAGE: [], BASELINE: [STAGE]}  # stages that are done when one is killed


def new_run(path):
    return RunFolder.create(path, system="qanet", recipe_text="", command="", versions={})


def is_in_second_epoch(run, stage):
    """Whether the checkpoint of the first epoch is there and a later epoch is under way."""
    if not (run.stage(stage) / "last.ckpt").exists():
        return False
    return any(row["stage"] == stage and "train/loss" in row and row["epoch"] >= 1 for row in read_jsonl(run.metrics))


@pytest.fixture(scope="module", params=FINISHED)
def killed(request, quick_options, tmp_path_factory):
    """The run folder of a training that was killed after the first epoch of one of its stages, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run, log, deadline = new_run(folder / "run"), folder / "driver.log", time.monotonic() + DEADLINE_S
    with log.open("w") as output:
        command = [sys.executable, "-W", "error", "-c", DRIVER, str(run.path), json.dumps(quick_options)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None and time.monotonic() < deadline and not is_in_second_epoch(run, request.param):
        time.sleep(0.005)  # polls for a moment that may pass in a tenth of a second
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()
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
