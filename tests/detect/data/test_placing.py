import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from modicum.detect.data.annotations import StatedBox, StatedPicture
from modicum.detect.data.placing import Frame, place_objects, read_frame, turn_boxes
from modicum.imaging.decoding import BadImageError

WIDE = (40, 30)


def stated(*boxes, **options):
    return StatedPicture("a.jpg", tuple(StatedBox(box, 0, "a") for box in boxes), **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_box_covers_what_it_covered_before(orientation, encoded):
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[4:9, 6:20] = 255
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture, "PNG", exif=exif)
    upright = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))[..., 0]
    frame = read_frame(content)
    assert frame.size == (upright.shape[1], upright.shape[0])
    (box,) = turn_boxes(torch.tensor([[6.0, 4.0, 20.0, 9.0]]), frame.stored, orientation).int().tolist()
    left, top, right, bottom = box
    expected = np.zeros_like(upright)
    expected[top:bottom, left:right] = 255
    assert (upright == expected).all()


def test_boxes_belong_to_the_upright_picture_unless_the_stated_size_is_the_stored_one():
    frame = Frame(WIDE, orientation=6)  # upright, it is 30 wide and 40 high
    box = (1.0, 2.0, 5.0, 8.0)
    unsaid, _ = place_objects(stated(box), frame)
    upright, _ = place_objects(stated(box, size=(30, 40)), frame)
    stored, _ = place_objects(stated(box, size=WIDE), frame)
    assert unsaid.boxes.tolist() == upright.boxes.tolist() == [list(box)]
    assert stored.boxes.tolist() == [[22, 1, 28, 5]]


def test_shares_are_of_the_upright_picture():
    objects, _ = place_objects(stated((0.0, 0.0, 0.5, 0.25), unit="share"), Frame(WIDE, orientation=8))
    assert objects.boxes.tolist() == [[0, 0, 15, 10]]


def test_annotations_of_a_picture_of_another_size_are_refused():
    with pytest.raises(BadImageError, match="its annotations are for 80x60 pixels, but it has 40x30"):
        place_objects(stated((0.0, 0.0, 5.0, 5.0), size=(80, 60)), Frame(WIDE))


def test_empty_boxes_and_those_outside_are_left_out_and_others_are_cut_off_at_the_edges():
    boxes = [(5, 5, 5, 9), (50, 5, 60, 9), (-10, 5, 20, 40), (0, 0, 40.5, 30), (3, 4, 5, 6)]
    objects, faults = place_objects(stated(*(tuple(map(float, box)) for box in boxes)), Frame(WIDE))
    assert objects.boxes.tolist() == [[0, 5, 20, 30], [0, 0, 40, 30], [3, 4, 5, 6]]
    assert (faults.empty, faults.outside, faults.cut) == (1, 1, 1)


EDGES = st.floats(-100, 200, width=32)


@settings(deadline=None, max_examples=40)
@given(boxes=st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=6), orientation=st.integers(1, 8))
def test_whatever_is_stated_objects_lie_in_the_picture_and_have_an_area(boxes, orientation):
    ordered = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes]
    frame = Frame(WIDE, orientation)
    for size in (None, frame.stored, frame.size):
        objects, faults = place_objects(stated(*ordered, size=size), frame)
        width, height = frame.size
        assert (objects.boxes >= 0).all()
        assert (objects.boxes <= torch.tensor([width, height] * 2)).all()
        assert (objects.boxes[:, 2:] >= objects.boxes[:, :2]).all()
        assert len(objects) + faults.empty + faults.outside == len(boxes)
