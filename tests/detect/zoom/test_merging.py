"""Merging: who keeps which object when windows cut, overlap or miss it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.overlaps import Found
from modicum.detect.zoom.merging import merge

WIDTH, HEIGHT = 1000, 600
WINDOW = np.array([[200.0, 100, 600, 400]])
NOTHING = Found(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.int64))


def found(*rows):
    """Detections of (left, top, right, bottom, score) and perhaps a class."""
    boxes = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 4)
    labels = np.array([row[5] if len(row) > 5 else 0 for row in rows], dtype=np.int64)
    return Found(boxes, np.float32([row[4] for row in rows]), labels)


def merged(coarse, *fine, windows=WINDOW):
    return merge(coarse, windows, fine, WIDTH, HEIGHT)


def test_without_windows_the_coarse_detections_are_the_answer():
    coarse = found((0, 0, 10, 10, 0.2), (1, 1, 10, 10, 0.9))  # even where they overlap

    assert merged(coarse, windows=np.zeros((0, 4))).scores.tolist() == pytest.approx([0.9, 0.2])


def test_inside_a_window_the_fine_detections_replace_the_coarse_ones():
    coarse = found((300, 200, 340, 240, 0.9), (700, 200, 740, 240, 0.4))
    fine = found((500, 300, 520, 320, 0.8))

    result = merged(coarse, fine)

    assert result.boxes[:, 0].tolist() == [500, 700]  # the false alarm at 300 is gone, what is outside stays


def test_an_empty_window_takes_the_coarse_detections_away():
    assert len(merged(found((300, 200, 340, 240, 0.9)), NOTHING).boxes) == 0


def test_coarse_box_larger_than_the_short_side_of_the_window_stays():
    coarse = found((210, 120, 590, 380, 0.6))  # 380 pixels wide in a window 300 high

    assert len(merged(coarse, NOTHING).boxes) == 1


def test_coarse_box_that_the_border_cuts_stays():
    coarse = found((580, 200, 640, 240, 0.6))

    assert len(merged(coarse, NOTHING).boxes) == 1


def test_coarse_box_that_reaches_over_the_border_goes_where_the_fine_detector_saw_the_object_whole():
    coarse = found((560, 200, 606, 240, 0.95))
    fine = found((566, 205, 590, 235, 0.7))

    assert merged(coarse, fine).scores.tolist() == pytest.approx([0.7])


def test_cut_fine_box_goes_where_the_coarse_pass_saw_the_object_whole():
    coarse = found((560, 200, 640, 240, 0.5))
    fine = found((560, 200, 600, 240, 0.9))

    assert merged(coarse, fine).boxes.tolist() == [[560, 200, 640, 240]]


def test_cut_fine_box_stays_where_nothing_else_saw_the_object():
    fine = found((560, 200, 600, 240, 0.9))

    assert len(merged(NOTHING, fine).boxes) == 1
    assert len(merged(found((570, 210, 580, 220, 0.1)), fine).boxes) == 1  # a speck inside holds no object better


def test_cut_fine_box_stays_where_the_coarse_one_was_replaced():
    coarse = found((560, 200, 597, 240, 0.5))  # ends too early, so that it lies inside

    assert merged(coarse, found((560, 200, 600, 240, 0.9))).scores.tolist() == pytest.approx([0.9])


def test_border_of_the_image_cuts_nothing():
    window = np.array([[600.0, 0, 1000, 300]])
    coarse = found((900, 0, 1000, 60, 0.5), (880, 20, 1000, 60, 0.6))
    fine = found((900, 0, 1000, 60, 0.9))

    assert merged(coarse, fine, windows=window).scores.tolist() == pytest.approx([0.9])


def test_object_in_two_overlapping_windows_is_counted_once():
    windows = np.array([[0.0, 0, 400, 300], [200, 0, 600, 300]])
    box = (250, 100, 300, 150)

    assert len(merged(NOTHING, found((*box, 0.8)), found((*box, 0.9)), windows=windows).boxes) == 1


def test_window_that_sees_an_object_whole_wins_over_the_one_that_cut_it():
    windows = np.array([[0.0, 0, 400, 300], [200, 0, 600, 300]])
    cut, whole = found((380, 100, 400, 150, 0.95)), found((380, 100, 440, 150, 0.7))

    assert merged(NOTHING, cut, whole, windows=windows).boxes.tolist() == [[380, 100, 440, 150]]


def test_of_an_object_that_two_windows_cut_one_piece_stays():
    windows = np.array([[0.0, 0, 400, 300], [300, 0, 700, 300]])
    pieces = found((290, 100, 400, 150, 0.6)), found((300, 100, 410, 150, 0.7))

    assert len(merged(NOTHING, *pieces, windows=windows).boxes) == 1


def test_classes_do_not_replace_each_others_boxes():
    coarse = found((560, 200, 640, 240, 0.5, 1))
    fine = found((560, 200, 600, 240, 0.9, 0))

    assert len(merged(coarse, fine).boxes) == 2


def test_detections_must_be_given_for_each_window():
    with pytest.raises(ValueError, match="got 1 for 2 windows"):
        merge(NOTHING, np.tile(WINDOW, (2, 1)), [NOTHING], WIDTH, HEIGHT)


def random_found(random, window, count):
    corners = random.uniform(window[:2], window[2:] - 1, (count, 2))
    ends = np.minimum(corners + random.uniform(1, 120, (count, 2)), window[2:])
    return Found(
        np.concatenate([corners, ends], 1), random.random(count).astype(np.float32), random.integers(0, 2, count)
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 100_000))
def test_whole_image_as_a_window_gives_what_the_fine_detector_alone_finds(seed):
    """Except for what the coarse pass sees larger than the image is high, which nothing here is."""
    random, image = np.random.default_rng(seed), np.array([0.0, 0, WIDTH, HEIGHT])
    fine = random_found(random, image, 1)

    result = merge(random_found(random, image, 20), image[None], [fine], WIDTH, HEIGHT)

    assert result.boxes.tolist() == fine.boxes.tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 100_000))
def test_answer_is_ordered_and_holds_nothing_that_nobody_found(seed):
    random, image = np.random.default_rng(seed), np.array([0.0, 0, WIDTH, HEIGHT])
    coarse = random_found(random, image, 20)
    windows = np.concatenate([WINDOW, WINDOW + np.array([150, 80, 150, 80])])
    fine = [random_found(random, window, 8) for window in windows]

    result = merge(coarse, windows, fine, WIDTH, HEIGHT)

    known = {tuple(box) for part in (coarse, *fine) for box in part.boxes}
    assert {tuple(box) for box in result.boxes} <= known
    assert (np.diff(result.scores) <= 0).all()
