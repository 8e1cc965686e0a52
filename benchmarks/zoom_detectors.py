"""Trains the coarse and fine light detectors of all trials of zooming, and caches what they find in unseen pictures.

    python benchmarks/zoom_detectors.py data/ --out runs/zoom-trials

Every trial is a folder with both detectors and their detections of all pictures that they were not trained on. A trial
that was interrupted goes on where it was. About six minutes on one core each.

- ``time``: the frames of 1920x1080 px of aerial_cars alone; every flight is cut in time order into a half for training
  and quarters for validation and test, so that all parts show the same scenes.
- ``without-A``: all of aerial_cars but the flights of group A, so that its detections are those of unseen flights.
- ``people-pasted``: pictures of Penn-Fudan reduced and pasted on canvases of 1920x1080 px, split by source picture.
- ``people``: the pictures of Penn-Fudan as they are.

All vehicles are one class.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from modicum.datasets.sources import Part
from modicum.detect.data.canvases import PastedCanvases
from modicum.detect.data.opening import open_source
from modicum.detect.data.scanning import scan
from modicum.detect.data.selecting import SelectedPictures
from modicum.detect.data.sources import DetectionSource
from modicum.detect.data.splits import make_splits
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.zoom.caching import BothPasses
from modicum.detect.zoom.crossfitting import cache_detections
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.detect.zoom.detector_training import DetectorData, train_detector
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, save_network
from modicum.training.fitting import Fitting
from modicum.training.recipe import TrainerOptions

SCALE = 0.25  # of the coarse pass
SCALES = {"coarse": SCALE, "fine": 1.0}
STEPS = {"coarse": 600, "fine": 1200}  # few crops in many steps: at equal cost better than the reverse
OPTIONS = {role: DetectorOptions(epochs=5, steps=steps, batch_size=4, crop_px=192) for role, steps in STEPS.items()}
LARGE = (1920, 1080)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "5": ("DJI_0005",),
    "760": ("DJI-00760",),
    "13": ("DJI_0013", "DJI_0762"),
    "munich": ("MOS", "MunichStreet02"),
}
"""Beginnings of the names of pictures by group of flights; the last group holds the smaller pictures."""

CANVASES: Mapping[Part, int] = {"train": 40, "calibration": 20, "test": 30}
Parts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Trial:
    """One pair of detectors.

    Attributes:
        source: Opens the pictures.
        parts: Gives the indices of the pictures for "train", and of the other parts.
    """

    source: Callable[[Path], DetectionSource]
    parts: Callable[[DetectionSource], Parts]


def main() -> None:
    """Trains the trials in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder with aerial_cars and pennfudan")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in chosen.only:
        begun = time.process_time()
        source = TRIALS[name].source(chosen.data)
        parts = TRIALS[name].parts(source)
        networks = train(source, parts["train"], chosen.out / name)
        for part, indices in parts.items():
            if part != "train":
                detections(source, indices, networks, chosen.out / name)
        print(json.dumps({"trial": name, "cpu_seconds": round(time.process_time() - begun)}), flush=True)


def train(source: DetectionSource, indices: Sequence[int], out: Path, seed: int = 0) -> tuple[LightFCOS, LightFCOS]:
    """Trains both detectors in a run folder, goes on with what is there, or reads them if they are ready."""
    files = {role: out / f"{role}.safetensors" for role in SCALES}
    if not all(file.exists() for file in files.values()):
        run = RunFolder(out)
        if not run.state.exists():
            run = RunFolder.create(out, system="zoom", recipe_text="", command="", versions={})
        epochs = {role: options.epochs for role, options in OPTIONS.items()}
        fitting = Fitting(run, TrainerOptions(accelerator="cpu"), seed, epochs)
        data = DetectorData(source, indices, indices)
        for role, scale in SCALES.items():
            network = train_detector(fitting, role, data, OPTIONS[role], scales=(scale, scale))
            save_network(files[role], network)
    return read_pair(out)


def read_pair(out: Path) -> tuple[LightFCOS, LightFCOS]:
    """Reads the detectors of a finished trial."""
    builders = {LightFCOS.storage_name: LightFCOS}
    coarse, fine = (load_network(out / f"{role}.safetensors", builders).eval() for role in SCALES)
    return coarse, fine


def detections(
    source: DetectionSource, indices: Sequence[int], networks: tuple[LightFCOS, LightFCOS], out: Path
) -> dict[int, BothPasses]:
    """Returns what both detectors find in whole pictures, cached in the folder of the trial."""
    return cache_detections(source, indices, networks, scale=SCALE, folder=out / "detections")


@cache
def vehicles(data: Path) -> DetectionSource:
    """Returns aerial_cars with all vehicles as one class."""
    whole = open_source(str(data / "aerial_cars"))
    return SelectedPictures(whole, None, {"vehicle": whole.classes})


@cache
def people(data: Path) -> DetectionSource:
    """Returns Penn-Fudan."""
    return open_source(str(data / "pennfudan"))


@cache
def pasted_people(data: Path) -> DetectionSource:
    """Returns canvases with pictures of Penn-Fudan."""
    source = people(data)
    sizes = dict(CANVASES)
    parts = split_people(source)
    return PastedCanvases(source, {part: parts[part] for part in sizes}, sizes)


def split_in_time(source: DetectionSource) -> Parts:
    """Returns the parts of the large frames, each flight cut in time order."""
    large = [index for index in range(len(source.records)) if source.sample(index).size == LARGE]
    frames = SelectedPictures(source, large)
    splits = make_splits(frames, scan(frames).pictures, calibration=0.25, test=0.25, by="time")
    return {part: [large[place] for place in splits.indices(frames, part)] for part in ("train", "calibration", "test")}


def members(source: DetectionSource, group: str) -> list[int]:
    """Returns the indices of the pictures of a group."""
    return [index for index, record in enumerate(source.records) if Path(record.id).name.startswith(GROUPS[group])]


def leave_out(group: str, source: DetectionSource) -> Parts:
    """Returns the pictures of a group as the test, and all others for training."""
    test = members(source, group)
    return {"train": [index for index in range(len(source.records)) if index not in test], "test": test}


def split_people(source: DetectionSource) -> dict[Part, list[int]]:
    """Returns as test every fifth picture by name, and of the rest every fourth for calibration."""
    order = sorted(range(len(source.records)), key=lambda index: source.records[index].id)
    rest = [index for place, index in enumerate(order) if place % 5 != 4]
    return {
        "train": [index for place, index in enumerate(rest) if place % 4 != 3],
        "calibration": rest[3::4],
        "test": order[4::5],
    }


def by_own_split(source: DetectionSource) -> Parts:
    """Returns the parts that the records name."""
    return {
        part: [index for index, record in enumerate(source.records) if record.split == part]
        for part in ("train", "calibration", "test")
    }


TRIALS: Mapping[str, Trial] = {
    "time": Trial(vehicles, split_in_time),
    **{f"without-{group}": Trial(vehicles, partial(leave_out, group)) for group in GROUPS},
    "people-pasted": Trial(pasted_people, by_own_split),
    "people": Trial(people, split_people),
}
"""The trials by name, in the order in which they are trained."""


if __name__ == "__main__":
    main()
