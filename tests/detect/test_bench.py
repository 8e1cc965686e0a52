import pytest
import torch

from modicum.detect.bench import KEPT, PIXELS, PRICES, SCALE, TIME, Picture, bench, choose_price
from modicum.detect.boxes import Detections, Objects
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.zoom.inference import ZoomDetector

BOXES = torch.tensor([[10.0, 10, 40, 40], [150, 60, 180, 90]])
SIZE = (128, 256)


@pytest.fixture(scope="module")
def rows():
    return bench(threads=1, quick=True)


def test_judged_rows_are_precision_pixels_and_time(rows):
    judged = [(row.target, row.sense) for row in rows if row.target is not None]
    assert judged == [(KEPT, "at least"), (PIXELS, "at most"), (TIME, "at most")]


def test_pixels_include_the_coarse_pass(rows):
    (share,) = (row.value for row in rows if row.name.startswith("pixels read"))
    assert SCALE**2 <= share <= 1 + SCALE**2


def test_every_method_is_timed(rows):
    timed = [row.name.split(",")[0] for row in rows if row.unit == "ms/image"]
    assert timed == ["fine detector", "zooming", "coarse pass", "1 overlapping slices"]


def _picture():
    labels = torch.zeros(len(BOXES), dtype=torch.int64)
    return Picture(torch.zeros(3, *SIZE, dtype=torch.uint8), Objects(BOXES, labels, labels.bool()))


def _finding(boxes, scores):
    found = Detections(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64))
    return CallableDetector(lambda images: [found for _ in images], ["mark"])


@pytest.mark.parametrize(("coarse_score", "price"), [(0.9, PRICES[-1]), (None, 0.0)])
def test_price_is_the_highest_that_keeps_precision(coarse_score, price):
    """Where the coarse pass finds all, nothing need be read; where it finds nothing, only the whole picture will do."""
    fine = _finding(BOXES, torch.tensor([0.9, 0.8]))
    count = 0 if coarse_score is None else len(BOXES)
    coarse = _finding(BOXES[:count] * SCALE, torch.full((count,), coarse_score or 0.0))
    assert choose_price(ZoomDetector(coarse, fine, SCALE), [_picture()]) == price
