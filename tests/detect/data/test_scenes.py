import io
import pickle

import numpy as np
import pytest
from PIL import Image
from torchvision.ops import box_iou

from modicum.detect.data.scenes import ScatteredMarks
from modicum.detect.data.selecting import SelectedPictures
from modicum.storage.errors import DataError


@pytest.fixture(scope="module")
def marks():
    return ScatteredMarks(sizes=(6, 2, 2))


def test_objects_lie_in_two_clusters_that_leave_most_of_a_picture_empty(marks):
    for index in range(6):
        boxes = marks.sample(index).objects.boxes
        cells = {(int(x) // 96, int(y) // 96) for box in boxes.tolist() for x, y in (box[:2], box[2:])}
        assert 4 <= len(boxes) <= 24
        assert len(cells) <= 0.2 * 16 * 16


def test_marks_are_of_12_to_120_px_and_do_not_overlap(marks):
    sides = []
    for index in range(6):
        boxes = marks.sample(index).objects.boxes
        sides += (boxes[:, 2] - boxes[:, 0]).tolist()
        assert (box_iou(boxes, boxes).fill_diagonal_(0) == 0).all()
    assert 12 <= min(sides) < 30
    assert 80 < max(sides) <= 120.01


def test_marks_stand_out_where_their_boxes_are(marks):
    sample, pixels = marks.sample(0), marks.pixels(0).astype(float).mean(axis=2)
    largest = (sample.objects.boxes[:, 2] - sample.objects.boxes[:, 0]).argmax()
    left, top, right, bottom = sample.objects.boxes[largest].int().tolist()
    inside = pixels[top:bottom, left:right]
    assert inside.std() > 10
    assert sample.size == (1536, 1536) == pixels.shape


def test_picture_depends_on_seed_and_number_alone(marks):
    other = pickle.loads(pickle.dumps(marks))
    assert marks.digest(3) == other.digest(3) == ScatteredMarks(sizes=(9, 9, 9)).digest(3)
    assert marks.digest(3) != ScatteredMarks(seed=1).digest(3)
    assert marks.digest(3) != marks.digest(4)


def test_file_of_a_picture_holds_its_pixels():
    small = ScatteredMarks(side=256, sizes=(1, 1, 1))
    assert np.array_equal(np.array(Image.open(io.BytesIO(small.sample(0).content()))), small.pixels(0))


def test_name_is_honest_about_what_the_set_is(marks):
    assert "made so that looking everywhere is wasteful" in marks.name


def test_impossible_sizes_are_refused():
    with pytest.raises(DataError, match="marks need side >= 256"):
        ScatteredMarks(side=100)


def test_classes_can_be_chosen_and_put_together(marks):
    rings = SelectedPictures(marks, classes={"ring": ("ring",)})
    both = SelectedPictures(marks, [2, 0], {"mark": ("cross", "ring")})
    count = (marks.sample(0).objects.labels == 0).sum()
    assert len(rings.sample(0).objects) == count
    assert [record.id for record in both.records] == ["train/00002", "train/00000"]
    assert both.sample(1).objects.labels.unique().tolist() == [0]
    assert len(both.sample(1).objects) == len(marks.sample(0).objects)
    assert both.digest(1) == marks.digest(0)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"a": ("disc",)}, "has no class 'disc'; its classes are 'ring', 'cross'"),
        ({"a": ("ring",), "b": ("ring",)}, "the class 'ring' stands in two of the classes"),
        ({}, "no class of embedded:scattered-marks was selected"),
    ],
)
def test_impossible_choices_of_classes_are_refused(marks, classes, message):
    with pytest.raises(DataError, match=message):
        SelectedPictures(marks, classes=classes)
