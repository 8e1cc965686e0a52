"""Trainings in processes of their own, to be killed: forked from one that has imported what they share."""

import json
import multiprocessing
import os
import sys
import warnings
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from modicum.storage.runs import RunFolder

SHARED = ["modicum.training.stages", "torchvision", "timm", "sklearn.model_selection"]
"""Modules that take most of the start of a training; importing them once saves each process seconds."""


def start_training(run: RunFolder, options: dict[str, object], log: Path) -> ForkServerProcess:
    """Trains a run by the options of a recipe in another process, whose output goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SHARED)
    process = context.Process(target=_train, args=(str(run.path), json.dumps(options), str(log)))
    process.start()
    return process


def _train(path: str, options: str, log: str) -> None:
    _write_to(log)
    warnings.simplefilter("error")
    from modicum.recipes import build_recipe
    from modicum.systems import get_system

    run = RunFolder.open(path)
    system = get_system(run.read_state().system)
    system.fit()(build_recipe(system.recipe, json.loads(options)), run)


def _write_to(log: str) -> None:
    with Path(log).open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
