import numpy as np
import pytest

from modicum.detect.data.canvases import PastedCanvases
from modicum.detect.data.files import AnnotatedFiles
from modicum.storage.errors import DataError

PARTS = {"train": [0, 1, 2, 3], "calibration": [4], "test": [5, 6, 7]}
SIZES = {"train": 5, "calibration": 1, "test": 3}


@pytest.fixture
def pictures(write_picture, write_text, tmp_path):
    """Eight pictures, each plain but for one white box, which its annotation states."""
    rows = ["path,class,xmin,ymin,xmax,ymax"]
    for number in range(8):
        pixels = np.full((90, 120, 3), 10 + number, np.uint8)
        pixels[30:60, 40:100] = 255
        write_picture(f"{number}.png", pixels=pixels)
        rows.append(f"{number}.png,thing,40,30,100,60")
    write_text("boxes.csv", "\n".join(rows))
    return AnnotatedFiles(tmp_path)


@pytest.fixture
def canvases(pictures):
    return PastedCanvases(pictures, PARTS, SIZES, size=(640, 320), reduction=(0.3, 0.9))


def test_objects_are_where_they_were_pasted(canvases):
    for index in range(9):
        sample, pixels = canvases.sample(index), canvases.pixels(index)
        assert sample.size == (640, 320) == pixels.shape[1::-1]
        assert len(sample.objects) >= 1
        for left, top, right, bottom in sample.objects.boxes.round().int().tolist():
            assert pixels[top + 3 : bottom - 3, left + 3 : right - 3].min() > 230
            assert pixels[top - 3 : top - 2, left:right].max() < 60


def test_canvas_shows_pictures_of_its_own_part_alone(canvases):
    for index, record in enumerate(canvases.records):
        shown = {each.picture for each in canvases._layout(index)}
        assert shown <= set(PARTS[record.split])
        assert len(shown) == len(canvases.sample(index).objects)


def test_canvas_depends_on_seed_and_number_alone(canvases, pictures):
    again = PastedCanvases(pictures, PARTS, SIZES, size=(640, 320), reduction=(0.3, 0.9))
    other = PastedCanvases(pictures, PARTS, SIZES, size=(640, 320), reduction=(0.3, 0.9), seed=1)
    assert canvases.seal(2) == again.seal(2) != other.seal(2)


def test_picture_larger_than_the_canvas_is_reduced_until_it_fits(pictures):
    small = PastedCanvases(pictures, PARTS, SIZES, size=(64, 64), pictures=(1, 1), reduction=(1.0, 1.0))
    (box,) = small.sample(0).objects.boxes.tolist()
    assert max(box) <= 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {**PARTS, "test": []}}, "no pictures of .* are given for the canvases of test"),
        ({"reduction": (0.5, 1.5)}, r"canvases need reduction in \(0, 1\]"),
    ],
)
def test_impossible_canvases_are_refused(pictures, options, message):
    with pytest.raises(DataError, match=message):
        PastedCanvases(pictures, **{"parts": PARTS, "sizes": SIZES, **options})
