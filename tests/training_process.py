"""Processes forked from one that has imported what they share: trainings, to be killed, and measurements of memory."""

import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from modicum.storage.runs import RunFolder

SHARED = [
    "modicum.classify.evaluation",
    "modicum.classify.fitting",
    "modicum.training.stages",
    "sklearn.model_selection",
    "timm",
    "torch._dynamo",  # imported by the first optimiser of a process
    "torchvision.transforms.v2",
]
"""Modules that take most of the start of a process; importing them once saves each one seconds."""


def start_forked(work: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """Starts ``work(*arguments)`` in another process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SHARED)
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def start_training(run: RunFolder, options: dict[str, object], log: Path) -> ForkServerProcess:
    """Trains a run by the options of a recipe in another process, whose output goes to a file."""
    return start_forked(_train, str(run.path), json.dumps(options), str(log))


def start_command(words: list[str], log: Path) -> ForkServerProcess:
    """Runs a command line on one thread in another process, whose output goes to a file."""
    return start_forked(_run, words, str(log))


def _run(words: list[str], log: str) -> None:
    _write_to(log)
    import torch

    from modicum.cli import main

    torch.set_num_threads(1)
    sys.exit(main(words))


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
