"""Times zooming on whole pictures, decoding included, beside the fine detector alone and beside slicing, in turn.

    python benchmarks/zoom_clock.py data/ --trials runs/zoom-trials --experiments 5 760 13

Takes the R-nets and prices that `zoom_aerial.py` wrote. Each picture is given to all methods one after another, before
the next one; the first round of each is not counted. The peer is SAHI (``pip install sahi``; left out where it is
missing): the same fine detector on slices of 512 px with an overlap of 0.2, batched, the picture decoded once.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import batched_nms
from zoom_aerial import SLICE_OVERLAP, SLICE_PX
from zoom_cases import OVERHEAD, fine_detector
from zoom_detectors import SCALE, TRIALS, read_pair

from modicum.detect.average_precision import judge_precision
from modicum.detect.boxes import Detections, Objects
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.pixels import cut_windows, to_image
from modicum.detect.zoom.inference import ZoomAnswer, ZoomDetector
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.planners import DensityPlanner
from modicum.detect.zoom.rnet import RNet
from modicum.detect.zoom.score_map import ScoreMap
from modicum.detect.zoom.windows import slice_windows
from modicum.measuring.timing import limited_threads, threads_text

try:
    import sahi
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction
except ImportError:
    DetectionModel = object
    sahi = None

Method = Callable[[NDArray[np.uint8]], Detections]
SPLIT = ("coarse", "plan", "fine", "merge")


class Sliced(DetectionModel):
    """One of our detectors as SAHI runs it."""

    def load_model(self) -> None:
        """Does nothing: the model is given."""

    def set_model(self, model: Detector) -> None:
        """Takes the detector."""
        self.model = model
        self.category_mapping = {str(label): name for label, name in enumerate(model.classes)}

    def perform_inference(self, image: NDArray[np.uint8]) -> None:
        """Runs one picture."""
        self.perform_batch_inference([image])

    def perform_batch_inference(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Runs slices of one shape as a batch."""
        self._original_predictions = self.model.detect([to_image(image) for image in images])

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Sequence[Sequence[int]], full_shape_list: Sequence[Sequence[int]]
    ) -> None:
        nowhere = [0, 0]
        shifts = [nowhere] if isinstance(shift_amount_list[0], int) else shift_amount_list
        shape = full_shape_list if isinstance(full_shape_list[0], int) else full_shape_list[0]
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=box, category_id=label, category_name=name, score=score, shift_amount=shift, full_shape=shape
                )
                for box, score, label in zip(
                    *(part.tolist() for part in (own.boxes, own.scores, own.labels)), strict=True
                )
                if score > self.confidence_threshold
                for name in [self.category_mapping[str(label)]]
            ]
            for own, shift in zip(self._original_predictions, shifts, strict=True)
        ]


def peer(model: Sliced, *, batch_size: int, standard: bool) -> Method:
    """Returns SAHI's sliced prediction; at low scores it merges by NMS, and says so each time unless it is told to."""
    low = model.confidence_threshold < 0.1

    def run(pixels: NDArray[np.uint8]) -> Detections:
        result = get_sliced_prediction(
            pixels,
            model,
            slice_height=SLICE_PX[1],
            slice_width=SLICE_PX[0],
            overlap_height_ratio=SLICE_OVERLAP,
            overlap_width_ratio=SLICE_OVERLAP,
            perform_standard_pred=standard,
            **({"postprocess_type": "NMS", "postprocess_match_metric": "IOU"} if low else {}),
            batch_size=batch_size,
            verbose=0,
        )
        found = result.object_prediction_list
        boxes = torch.tensor([each.bbox.to_xyxy() for each in found], dtype=torch.float32).reshape(-1, 4)
        scores = torch.tensor([each.score.value for each in found], dtype=torch.float32)
        return Detections(boxes, scores, torch.tensor([each.category.id for each in found], dtype=torch.int64))

    return run


def peers(fine: Detector) -> dict[str, Method]:
    """Returns SAHI in its ways, by name; none where it is not installed."""
    if sahi is None:
        return {}
    low, usual = (Sliced(model=fine, confidence_threshold=score, device="cpu") for score in (0.01, 0.3))
    version = f"SAHI {sahi.__version__}"
    return {
        f"{version}, batch 16, with the whole picture": peer(low, batch_size=16, standard=True),
        f"{version}, batch 16": peer(low, batch_size=16, standard=False),
        f"{version}, batch 1": peer(low, batch_size=1, standard=False),
        f"{version}, batch 16, scores above 0.3": peer(usual, batch_size=16, standard=False),
    }


def read_zoom(folder: Path, networks: Sequence[torch.nn.Module]) -> ZoomDetector:
    """Returns the system as it was fitted."""
    tensors = load_file(folder / "fit.safetensors")
    maps = [
        ScoreMap(*(tensors[f"{role}/{part}"].numpy() for part in ("before", "after"))) for role in ("coarse", "fine")
    ]
    state = {name.removeprefix("rnet/"): value for name, value in tensors.items() if name.startswith("rnet/")}
    hidden = len(state["hidden.weight"])
    count = len(state["normalise.weight"]) if "normalise.weight" in state else 0
    rnet = RNet(1, count, hidden=hidden, dropout=0.3).eval()
    rnet.load_state_dict(state)
    coarse = TorchvisionDetector(networks[0].fcos, networks[0].classes, limits=DetectionLimits(features=bool(count)))
    return ZoomDetector(
        coarse,
        fine_detector(networks),
        SCALE,
        rnet,
        DensityPlanner(overhead=OVERHEAD),
        coarse_scores=maps[0],
        fine_scores=maps[1],
    )


class Clock:
    """What each method found and how long each picture took, in order of the pictures."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.found: dict[str, list[Detections]] = {}
        self.objects: list[Objects] = []
        self.answers: list[ZoomAnswer] = []

    def run(self, folder: Path, *, data: Path, trials: Path, rounds: int, price: float | None) -> None:
        """Times all methods on the test pictures of an experiment."""
        chosen = json.loads((folder / "chosen.json").read_text())
        source, networks = TRIALS[chosen["trial"]].source(data), read_pair(trials / chosen["trial"])
        zoom = read_zoom(folder, networks)
        answers: list[ZoomAnswer] = []
        methods = methods_of(zoom, ZoomLimit(price=chosen["price"] if price is None else price), answers)
        for index in chosen["test"]:
            readings = {name: list[float]() for name in ("decoding", *methods)}
            for turn in range(rounds + 1):
                begun = time.perf_counter()
                pixels = source.pixels(index)
                readings["decoding"].append(time.perf_counter() - begun)
                for name, method in methods.items():
                    begun = time.perf_counter()
                    found = method(pixels)
                    readings[name].append(time.perf_counter() - begun)
                    if turn == rounds:
                        self.found.setdefault(name, []).append(found)
            for name, times in readings.items():
                self.seconds.setdefault(name, []).append(statistics.median(times[1:]))
            self.answers.append(answers[-1])
            self.objects.append(source.sample(index).objects)


def methods_of(zoom: ZoomDetector, limit: ZoomLimit, answers: list[ZoomAnswer]) -> Mapping[str, Method]:
    """Returns what is timed, by name; answers of zooming are kept."""

    def zooming(pixels: NDArray[np.uint8]) -> Detections:
        answers.extend(zoom.detect([to_image(pixels)], limit))
        return answers[-1].found

    def sliced(pixels: NDArray[np.uint8]) -> Detections:
        image: Tensor = to_image(pixels)
        windows = slice_windows(image.shape[2], image.shape[1], SLICE_PX, SLICE_OVERLAP).astype(int).tolist()
        parts = zoom.fine.detect(cut_windows(image, windows))
        found = Detections.join([part.shifted(*window[:2]) for part, window in zip(parts, windows, strict=True)])
        return found.take(batched_nms(found.boxes, found.scores, found.labels, 0.5))

    return {
        "fine detector": lambda pixels: zoom.fine.detect([to_image(pixels)])[0],
        "zooming": zooming,
        "coarse pass": lambda pixels: zoom.look([to_image(pixels)])[0].coarse,
        "slices, our runner": sliced,
        **peers(zoom.fine),
    }


def report(clock: Clock) -> None:
    """Prints the table and where the time of zooming goes."""
    decoding = statistics.mean(clock.seconds["decoding"])
    fine = statistics.mean(clock.seconds["fine detector"]) + decoding
    best = judge_precision(clock.found["fine detector"], clock.objects, [0.5]).total()
    ours = statistics.mean(clock.seconds["zooming"]) + decoding
    share = statistics.mean(answer.share for answer in clock.answers)
    print(
        f"\n{len(clock.objects)} pictures, {threads_text(torch.get_num_threads())}; decoding {1000 * decoding:.0f} ms\n"
    )
    print("| method | ms per picture | of fine only | without decoding | AP50 | of fine only | zooming is faster by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in clock.found.items():
        own = statistics.mean(clock.seconds[name])
        ap50 = judge_precision(found, clock.objects, [0.5]).total()
        print(
            f"| {name} | {1000 * (own + decoding):.0f} | {(own + decoding) / fine:.1%} | {own / (fine - decoding):.1%} "
            f"| {ap50:.3f} | {ap50 / best:.1%} | {(own + decoding) / ours:.2f} |"
        )
    split = {name: statistics.mean(getattr(answer.times, name) for answer in clock.answers) for name in SPLIT}
    parts = ", ".join(f"{name} {value:.0f} ms" for name, value in split.items())
    windows = statistics.mean(len(answer.windows) for answer in clock.answers)
    print(f"\nZooming: {share:.1%} of the pixels in {windows:.1f} windows; {parts}", flush=True)


def main() -> None:
    """Times the experiments that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--experiments", nargs="+", required=True, help="folders of trials/chosen; together one table")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--price", type=float, help="in place of those that were chosen")
    chosen = parser.parse_args()
    for number in chosen.threads:
        with limited_threads(number):
            clock = Clock()
            for name in chosen.experiments:
                folder = chosen.trials / "chosen" / name
                clock.run(folder, data=chosen.data, trials=chosen.trials, rounds=chosen.rounds, price=chosen.price)
            report(clock)


if __name__ == "__main__":
    main()
