"""Trains a coarse and a fine light detector on aerial photographs, and measures each on whole frames.

    python benchmarks/zoom_detectors.py ../shared/data/aerial_cars --by time --out runs/zoom-time

Of the set, the frames of 1920x1080 px count, and all vehicles are one class. With ``--by time`` every flight is cut in
time order into halves for training and quarters for watching and testing, so that all parts show the same scenes; with
``--by sequence`` flights DJI_0013 and DJI_0762 are the test, and the last quarter of each other flight is watched.
Times are those of one picture, decoding left out, on as many threads as ``--threads`` says.
"""

import argparse
import contextlib
import io
import json
import logging
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster

from modicum.detect.boxes import Detections, Objects
from modicum.detect.data.opening import open_source
from modicum.detect.data.scanning import scan
from modicum.detect.data.selecting import SelectedPictures
from modicum.detect.data.sources import DetectionSource
from modicum.detect.data.splits import make_splits
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.pixels import reduced, to_image
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.detect.zoom.detector_training import DetectorData, planned_epochs, read_trunk, train_detector
from modicum.measuring.timing import limited_threads
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network
from modicum.training.fitting import Fitting
from modicum.training.recipe import TrainerOptions

TEST_FLIGHTS = ("DJI_0013", "DJI_0762")
SCALES = {"coarse": 0.25, "fine": 1.0}
REPEATS = 3


def main() -> None:
    """Trains, measures, and prints one JSON object for each detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data")
    parser.add_argument("--by", choices=("time", "sequence"), default="time")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--weights", help="lite0, for the trunk of that name.")
    parser.add_argument("--share", action="store_true", help="Train one detector for both scales.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = DetectorOptions(
        steps=chosen.steps,
        weights=chosen.weights,
        trunk="small" if chosen.weights is None else "tf_efficientnet_lite0",
        share_weights=chosen.share,
    )
    source = frames(chosen.data)
    parts = divide(source, chosen.by)
    with limited_threads(chosen.threads):
        trained = train(source, parts, options, chosen.out, chosen.seed)
        for role, network in trained.items():
            print(json.dumps({"role": role, **measure(network, source, parts["test"], SCALES[role])}), flush=True)


def frames(data: str) -> DetectionSource:
    """Returns the large frames of the set, all vehicles as one class."""
    whole = open_source(data)
    large = [index for index in range(len(whole.records)) if whole.sample(index).size == (1920, 1080)]
    return SelectedPictures(whole, large, {"vehicle": whole.classes})


def divide(source: DetectionSource, by: str) -> dict[str, list[int]]:
    """Returns the indices of the frames that are for training, watching and testing."""
    splits = make_splits(source, scan(source).pictures, calibration=0.25, test=0.25, by="time")
    if by == "time":
        return {part: splits.indices(source, part) for part in ("train", "calibration", "test")}
    test = [index for index, record in enumerate(source.records) if str(record.group).endswith(TEST_FLIGHTS)]
    watched = [index for index in splits.indices(source, "test") if index not in test]
    rest = [index for index in range(len(source.records)) if index not in {*test, *watched}]
    return {"train": rest, "calibration": watched, "test": test}


def train(
    source: DetectionSource, parts: dict[str, list[int]], options: DetectorOptions, out: Path, seed: int
) -> dict[str, LightFCOS]:
    """Trains the detector of each role in a run folder, or goes on with what is there."""
    stages = {"both": (0.25, 1.0)} if options.share_weights else {role: (s, s) for role, s in SCALES.items()}
    trunk = read_trunk(options)
    run = RunFolder(out)
    if not run.state.exists():
        run = RunFolder.create(out, system="zoom", recipe_text="", command="", versions={})
    fitting = Fitting(run, TrainerOptions(accelerator="cpu"), seed, planned_epochs(list(stages), options))
    data = DetectorData(source, parts["train"], parts["calibration"])
    found = {}
    for name, scales in stages.items():
        begun = time.perf_counter()
        found[name] = train_detector(fitting, name, data, options, scales=scales, trunk=trunk)
        save_network(out / f"{name}.safetensors", found[name])
        print(json.dumps({"stage": name, "seconds": round(time.perf_counter() - begun, 1)}), flush=True)
    return dict.fromkeys(SCALES, found["both"]) if options.share_weights else found


def measure(network: LightFCOS, source: DetectionSource, test: list[int], scale: float) -> dict[str, object]:
    """Returns average precision and the time for each whole frame."""
    detector = TorchvisionDetector(network.fcos, network.classes)
    answers, truths, seconds = [], [], []
    for index in test:
        image = to_image(source.pixels(index))
        for repeat in range(REPEATS):
            begun = time.perf_counter()
            seen = reduced(image, scale)
            (found,) = detector.detect([seen])
            if repeat:  # the first binds the detector to the shape
                seconds.append(time.perf_counter() - begun)
        answers.append(found.scaled(image.shape[2] / seen.shape[2], image.shape[1] / seen.shape[1]))
        truths.append(source.sample(index).objects)
    ap, ap50 = average_precision(answers, truths)
    return {
        "frames": len(test),
        "boxes": sum(map(len, truths)),
        "AP": round(ap, 4),
        "AP50": round(ap50, 4),
        "median_seconds": round(statistics.median(seconds), 4),
        "gmacs": round(detector.macs(seen.shape[1], seen.shape[2]) / 1e9, 3),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "threads": torch.get_num_threads(),
    }


def average_precision(answers: list[Detections], truths: list[Objects]) -> tuple[float, float]:
    """Returns COCO's average precision, and that at an overlap of 0.5, both in [0, 1]."""
    boxes = [
        (number, *box[:2], box[2] - box[0], box[3] - box[1])
        for number, truth in enumerate(truths)
        for box in truth.boxes.tolist()
    ]
    truth = {
        "images": [{"id": number} for number in range(len(truths))],
        "categories": [{"id": 0, "name": "vehicle"}],
        "annotations": [
            {
                "id": n,
                "image_id": row[0],
                "category_id": 0,
                "bbox": list(row[1:]),
                "area": row[3] * row[4],
                "iscrowd": 0,
            }
            for n, row in enumerate(boxes, start=1)
        ],
    }
    rows = [
        np.column_stack(
            [np.full(len(a), n), a.boxes[:, :2], a.boxes[:, 2:] - a.boxes[:, :2], a.scores, np.zeros(len(a))]
        )
        for n, a in enumerate(answers)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(truth)
        evaluation = COCOeval_faster(reference, reference.loadRes(np.concatenate(rows)), "bbox")
        evaluation.params.maxDets = [1, 10, 300]
        evaluation.run()
    precision = evaluation.eval["precision"][:, :, 0, 0, -1]  # overlaps, recalls
    return float(precision.mean()), float(precision[0].mean())


if __name__ == "__main__":
    main()
