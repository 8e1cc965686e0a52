from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.detect.boxes import Detections
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.tiling import detect_whole, tile_starts


@given(length=st.integers(1, 5000), tile=st.integers(16, 900), overlap=st.floats(0, 0.9))
def test_tiles_cover_a_side_and_overlap_enough(length, tile, overlap):
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + min(tile, length) == length
    steps = [after - before for before, after in pairwise(starts)]
    assert all(0 < step <= max(1, tile * (1 - overlap)) + 1 for step in steps)


def spots(images):
    """A detector that finds every white square of 8 px, and pieces of squares at edges."""
    answers = []
    for image in images:
        rows = (image[0] == 255).any(1).nonzero()[:, 0]
        found = []
        for top in sorted({int(row) // 10 * 10 for row in rows}):  # squares stand in a raster of 10 px
            band = image[0, top : top + 10]
            for left in sorted({int(column) // 10 * 10 for column in (band == 255).any(0).nonzero()[:, 0]}):
                white = (band[:, left : left + 10] == 255).nonzero()
                (y0, x0), (y1, x1) = white.amin(0).tolist(), white.amax(0).tolist()
                found.append([left + x0, top + y0, left + x1 + 1, top + y1 + 1])
        boxes = torch.tensor(found, dtype=torch.float32).reshape(-1, 4)
        answers.append(Detections(boxes, torch.full((len(boxes),), 0.5), torch.zeros(len(boxes), dtype=torch.int64)))
    return answers


def test_tiles_find_what_the_whole_image_holds_once_and_uncut():
    image = torch.zeros(3, 200, 330, dtype=torch.uint8)
    for top in range(0, 200, 20):
        for left in range(0, 330, 30):
            image[:, top : top + 8, left : left + 8] = 255
    detector = CallableDetector(spots, ["spot"])
    whole = detect_whole(detector, image)
    tiled = detect_whole(detector, image, tile=(80, 120), overlap=0.25)  # tiles begin at multiples of 10
    assert tile_starts(330, 120, 0.25) == [0, 70, 140, 210]
    assert sorted(tiled.boxes.tolist()) == sorted(whole.boxes.tolist())
    assert len(whole) == 110


def test_tiles_are_no_larger_than_asked_for():
    seen = []

    def look(images):
        seen.extend(tuple(image.shape[1:]) for image in images)
        return [Detections.empty()] * len(images)

    image = torch.zeros(3, 200, 330, dtype=torch.uint8)
    assert len(detect_whole(CallableDetector(look, ["x"]), image, tile=(96, 400))) == 0
    assert set(seen) == {(96, 330)}
    seen.clear()
    detect_whole(CallableDetector(look, ["x"]), image, tile=(200, 330))
    assert seen == [(200, 330)]


@pytest.mark.parametrize("length", [1, 79, 80])
def test_side_that_fits_is_one_tile(length):
    assert tile_starts(length, 80, 0.5) == [0]
