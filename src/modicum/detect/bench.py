"""Measures what zooming saves on this machine: pixels, time and average precision beside the fine detector alone.

Light detectors are trained here, in a few minutes, on the embedded pictures of scattered marks; R-net and the price are
fitted on others of them, and the figures are those of the rest. Most of these pictures is empty, so that detection
everywhere is wasteful by construction: the figures say what this machine makes of a saving in pixels, and nothing about
photographs.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.detect.average_precision import judge_precision
from modicum.detect.boxes import Detections, Objects
from modicum.detect.data.scenes import ScatteredMarks
from modicum.detect.data.sources import DetectionSource
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.pixels import cut_windows, reduced, to_image
from modicum.detect.zoom.calibrating import fit_score_map, pool
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.detect.zoom.detector_training import DetectorData, planned_epochs, train_detector
from modicum.detect.zoom.inference import ZoomAnswer, ZoomDetector
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.matching import match_detections
from modicum.detect.zoom.rnet import RNet
from modicum.detect.zoom.rnet_training import gain_pairs, train_rnet
from modicum.detect.zoom.score_map import ScoreMap
from modicum.detect.zoom.windows import slice_windows
from modicum.measuring.rows import Row
from modicum.measuring.timing import limited_threads, threads_text, time_in_turn
from modicum.storage.runs import RunFolder
from modicum.training.fitting import Fitting
from modicum.training.recipe import TrainerOptions

SCALE = 0.25  # of the coarse pass
KEPT = 0.99  # share of the fine detector's precision, wanted of the price on validation pictures and in the end
PIXELS, TIME = 0.40, 0.50  # of the fine detector's, at most
SLICE_PX, SLICE_OVERLAP = (512, 512), 0.2
PRICES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Extent(NamedTuple):
    """What is drawn, trained and timed."""

    side: int  # of a picture, px
    sizes: tuple[int, int, int]  # pictures to train on, to fit and choose on, and to test
    options: DetectorOptions
    timed: int  # pictures
    rounds: int


FULL = Extent(1536, (24, 16, 16), DetectorOptions(epochs=1, steps=600, batch_size=4, crop_px=192), 4, 3)
QUICK = Extent(256, (2, 4, 2), DetectorOptions(epochs=1, steps=2, batch_size=2, crop_px=64), 1, 1)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, (3, H, W) uint8, with its objects."""

    image: Tensor
    objects: Objects


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures precision and pixels of zooming, and its time beside the fine detector's and that of slices.

    Args:
        threads: CPU threads; None measures time with one and with two.
        quick: Use small pictures and untrained detectors, to check that the benchmark runs; the figures are not
            meaningful.
    """
    extent = QUICK if quick else FULL
    source = ScatteredMarks(extent.side, sizes=extent.sizes)
    zoom = fit_zoom(train_networks(source, extent.options), pictures(source, "calibration"))
    test = pictures(source, "test")
    rows = precision_rows(*zoom, test)
    for number in (1, 2) if threads is None else (threads,):
        with limited_threads(number):
            rows += clock_rows(*zoom, [each.image for each in test[: extent.timed]], extent.rounds)
    return rows


def pictures(source: DetectionSource, part: str) -> list[Picture]:
    """Decodes the pictures of a part."""
    indices = [index for index, record in enumerate(source.records) if record.split == part]
    return [Picture(to_image(source.pixels(index)), source.sample(index).objects) for index in indices]


def train_networks(source: DetectionSource, options: DetectorOptions) -> tuple[LightFCOS, LightFCOS]:
    """Trains the coarse and the fine detector; nothing is left on disk."""
    train = [index for index, record in enumerate(source.records) if record.split == "train"]
    scales = {"coarse": SCALE, "fine": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", system="zoom", recipe_text="", command="", versions={})
        fitting = Fitting(run, TrainerOptions(accelerator="cpu"), 0, planned_epochs(list(scales), options))
        data = DetectorData(source, train, train)
        coarse, fine = (
            train_detector(fitting, role, data, options, scales=(scale, scale)) for role, scale in scales.items()
        )
    return coarse, fine


def fit_zoom(networks: tuple[LightFCOS, LightFCOS], known: Sequence[Picture]) -> tuple[ZoomDetector, float]:
    """Calibrates both detectors, fits R-net on half of the pictures and chooses the price on the other half."""
    coarse, fine = networks
    detector = ZoomDetector(
        coarse=TorchvisionDetector(coarse.fcos, coarse.classes),
        fine=TorchvisionDetector(fine.fcos, fine.classes, limits=DetectionLimits(features=False)),
        scale=SCALE,
    )
    half = len(known) // 2
    detector = fit_gains(detector, known[:half])
    return detector, choose_price(detector, known[half:])


def fit_gains(detector: ZoomDetector, known: Sequence[Picture]) -> ZoomDetector:
    """Returns the detector with calibrated scores and an R-net, both fitted on these pictures."""
    images = [each.image for each in known]
    low = [look.coarse for look in detector.look(images)]
    high = [found for image in images for found in detector.fine.detect([image])]
    maps = [fit_scores(found, known) for found in (low, high)]
    low, high = ([calibrated(each, scores) for each in found] for found, scores in zip((low, high), maps, strict=True))
    matches = [match_detections(a, b, own.objects) for a, b, own in zip(low, high, known, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = low[0].features
        rnet = RNet(len(detector.classes), 0 if features is None else features.shape[1], hidden=64, dropout=0.3)
    train_rnet(rnet, gain_pairs(low, matches, [(image.shape[2], image.shape[1]) for image in images]))
    return replace(detector, gains=rnet, coarse_scores=maps[0], fine_scores=maps[1])


def fit_scores(found: Sequence[Detections], known: Sequence[Picture]) -> ScoreMap:
    """Fits the calibration of a detector."""
    matches = [match_detections(own, own, picture.objects) for own, picture in zip(found, known, strict=True)]
    hits = torch.cat([torch.from_numpy(each.hits[each.counts]) for each in matches]).numpy()
    return fit_score_map(pool([each.coarse[each.counts] for each in matches]), hits)


def calibrated(found: Detections, scores: ScoreMap) -> Detections:
    """Returns detections with calibrated scores."""
    return replace(found, scores=torch.from_numpy(scores(found.scores.double().numpy())).float())


def choose_price(detector: ZoomDetector, known: Sequence[Picture]) -> float:
    """Returns the highest price that keeps enough precision on these pictures; 0 reads all of each."""
    wanted = KEPT * precision([look_at(detector, each.image, 0.0).found for each in known], known)
    answers = {price: [look_at(detector, each.image, price).found for each in known] for price in PRICES}
    return max([0.0, *(price for price, found in answers.items() if precision(found, known) >= wanted)])


def look_at(detector: ZoomDetector, image: Tensor, price: float) -> ZoomAnswer:
    """Detects in one image."""
    (answer,) = detector.detect([image], ZoomLimit(price=price))
    return answer


def precision(found: Sequence[Detections], known: Sequence[Picture]) -> float:
    """Returns average precision at an overlap of 0.5."""
    return judge_precision(found, [each.objects for each in known], [0.5]).total()


def precision_rows(detector: ZoomDetector, price: float, test: Sequence[Picture]) -> list[Row]:
    """Measures precision and pixels on pictures that nothing was fitted on."""
    answers = [look_at(detector, each.image, price) for each in test]
    whole = precision([look_at(detector, each.image, 0.0).found for each in test], test)
    zoomed = precision([answer.found for answer in answers], test)
    coarse = precision([look.coarse for look in detector.look([each.image for each in test])], test)
    share = sum(answer.share for answer in answers) / len(answers)
    setting = f"{len(test)} pictures of scattered marks, {test[0].image.shape[2]} px"
    return [
        Row(f"AP50 of the coarse pass alone, {setting}", coarse, "of 1"),
        Row(f"AP50 of the fine detector, {setting}", whole, "of 1"),
        Row(f"AP50 of zooming at price {price:g}, {setting}", zoomed, "of 1"),
        Row(f"AP50 kept of the fine detector's, {setting}", zoomed / whole if whole else 1.0, "ratio", KEPT),
        Row(f"pixels read, coarse pass included, {setting}", share, "of the picture", PIXELS, "at most"),
        Row(f"windows, {setting}", sum(len(answer.windows) for answer in answers) / len(answers), "per picture"),
    ]


def clock_rows(detector: ZoomDetector, price: float, images: Sequence[Tensor], rounds: int) -> list[Row]:
    """Times zooming, the fine detector on whole pictures and on slices, and the coarse pass, one picture at a time."""
    height, width = images[0].shape[-2:]
    slices = slice_windows(width, height, SLICE_PX, SLICE_OVERLAP).astype(int).tolist()
    runs: dict[str, Callable[[Tensor], object]] = {
        "fine detector": lambda image: detector.fine.detect([image]),
        "zooming": partial(look_at, detector, price=price),
        "coarse pass": lambda image: detector.coarse.detect([reduced(image, SCALE)]),
        f"{len(slices)} overlapping slices": lambda image: detector.fine.detect(cut_windows(image, slices)),
    }
    timed = {name: partial(_run_all, run, images) for name, run in runs.items()}
    seconds = {name: value / len(images) for name, value in time_in_turn(timed, rounds=rounds).items()}
    setting = f"{width}x{height} px, {threads_text(torch.get_num_threads())}"
    fine, zooming, coarse, sliced = seconds.values()
    return [
        *(Row(f"{name}, {setting}", 1000 * value, "ms/image") for name, value in seconds.items()),
        Row(f"time of zooming, of the fine detector's, {setting}", zooming / fine, "ratio", TIME, "at most"),
        Row(f"time of the coarse pass, of the fine detector's, {setting}", coarse / fine, "ratio"),
        Row(f"zooming, times as fast as overlapping slices, {setting}", sliced / zooming, "ratio"),
    ]


def _run_all(run: Callable[[Tensor], object], images: Sequence[Tensor]) -> None:
    for image in images:
        run(image)
