"""Trains tiny detectors in a run folder, in this process or another one that may be killed."""

import os
import sys
import warnings
from pathlib import Path

from modicum.detect.data.scenes import ScatteredMarks
from modicum.detect.data.sources import DetectionSource
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.storage.runs import RunFolder
from modicum.training.recipe import TrainerOptions

TINY = DetectorOptions(epochs=3, steps=6, batch_size=2, crop_px=64)
SCALE = 0.25
CPU = TrainerOptions(accelerator="cpu", threads=1)


def small_marks() -> DetectionSource:
    """Twelve pictures of 256 px."""
    return ScatteredMarks(side=256, sizes=(8, 2, 2))


def new_run(path: Path) -> RunFolder:
    return RunFolder.create(path, system="zoom", recipe_text="", command="", versions={})


def train(path: str, log: str = "") -> None:
    """Trains the pair of detectors in a run folder; what it prints goes to a file if one is given."""
    if log:
        with Path(log).open("w") as output:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(output.fileno(), stream.fileno())
    warnings.simplefilter("error")
    from modicum.detect.zoom.crossfitting import detector_stages, train_pair
    from modicum.detect.zoom.detector_training import DetectorData, planned_epochs
    from modicum.storage.weights import save_network
    from modicum.training.fitting import Fitting

    run = RunFolder.open(path)
    fitting = Fitting(run, CPU, 5, planned_epochs(detector_stages(TINY), TINY))
    networks = train_pair(fitting, DetectorData(small_marks(), range(8), [8, 9]), TINY, scale=SCALE)
    for name, network in zip(("coarse", "fine"), networks, strict=True):
        save_network(run.path / f"{name}.safetensors", network)
