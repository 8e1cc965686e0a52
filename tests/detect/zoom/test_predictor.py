import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from square_detector import HEIGHT, WIDTH, Recorder, draw

from modicum.adaptive.knobs import BudgetError
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.drawing import colour_of
from modicum.detect.zoom.answers import Reporting, image_id, number_categories
from modicum.detect.zoom.inference import ZoomDetector
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.predictor import Predictor
from modicum.prediction import Failure

HALF_THE_PIXELS = ZoomLimit(max_pixels=0.5)


@pytest.fixture
def zoom():
    return ZoomDetector(*(CallableDetector(Recorder(), ["square"]) for _ in range(2)))


@pytest.fixture
def predictor(zoom):
    return Predictor(zoom, HALF_THE_PIXELS)


def pixels_of(*squares):
    return draw(squares).permute(1, 2, 0).numpy()


def test_answer_lists_detections_as_result_files_of_coco_do(predictor):
    answer = predictor(pixels_of((40, 60)))
    (row,) = json.loads(answer.encode()["detections.json"])
    assert row == {
        "image_id": "image 0",
        "category_id": 1,
        "bbox": [40.0, 60.0, 12.0, 12.0],
        "score": pytest.approx(0.94, abs=1e-4),
        "category": "square",
    }
    assert answer.to_json()["detections"] == [row]


def test_answer_says_what_was_found_and_what_was_read(predictor):
    text = str(predictor(pixels_of((40, 60), (500, 360))))
    assert text.startswith("image 0: 2 square; ")
    assert "of the pixels read, 2 windows" in text
    assert "ms (coarse" in text
    assert "the whole picture" in str(predictor(pixels_of((40, 60)), knob=0.0))


def test_drawing_shows_boxes_windows_and_what_was_left_alone(predictor):
    answer = predictor(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8) + pixels_of((40, 60)) // 2)
    drawing = np.array(answer.pictures()["drawing"])
    left, top, right, _ = answer.answer.windows[0].astype(int)
    assert drawing.shape == (HEIGHT, WIDTH, 3)
    assert (drawing[top, left:right] == 255).all()  # the frame of the window
    assert (drawing[200, 400] == 54).all()  # outside of it, darker
    box = drawing[60:72, 40:52]
    assert (box[0] == colour_of(0)).all()  # the box of the first class


def test_drawing_keeps_the_metadata_of_a_photograph(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "camera"
    Image.fromarray(pixels_of((40, 60))).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    with Image.open(io.BytesIO(predictor(tmp_path / "photo.jpg").encode()["drawing.jpg"])) as drawing:
        assert drawing.getexif()[0x010F] == "camera"
        assert drawing.size == (WIDTH, HEIGHT)


def test_boxes_are_those_of_the_upright_picture(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees
    stored = Image.fromarray(pixels_of((40, 60))).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.png", exif=exif)
    answer = predictor(tmp_path / "turned.png")
    assert answer.answer.size == (WIDTH, HEIGHT)
    np.testing.assert_allclose(answer.found.boxes[0], [40, 60, 52, 72])


def test_unreadable_pictures_cost_only_themselves(predictor):
    first, broken, last = predictor.predict_all([pixels_of((40, 60)), b"no picture", pixels_of()])
    assert isinstance(broken, Failure)
    assert (len(first.found), len(last.found)) == (1, 0)


def test_detections_below_the_least_score_are_left_out(zoom):
    reporting = Reporting(("square",), (1,), min_score=0.95)
    answer = Predictor(zoom, HALF_THE_PIXELS, reporting=reporting)(pixels_of((40, 60)))
    assert len(answer.found) == 0
    assert len(answer.answer.found) == 1
    assert "nothing found" in str(answer)


def test_knob_of_a_call_takes_the_place_of_the_limit(predictor):
    picture = pixels_of((40, 60))
    assert predictor(picture, knob=0.0).answer.share > 1
    assert predictor(picture, knob=1e6).answer.share == 1 / 16
    assert 1 / 16 < predictor(picture).answer.share <= 0.5


def test_limit_that_no_picture_keeps_is_refused_at_once(zoom):
    with pytest.raises(BudgetError, match=r"allow at least 0\.0625"):
        Predictor(zoom, ZoomLimit(max_pixels=0.05))


def test_picture_too_large_for_a_limit_of_pixels_costs_only_itself(zoom):
    predictor = Predictor(zoom, ZoomLimit(max_pixels=20_000))
    small = np.zeros((64, 64, 3), dtype=np.uint8)
    answers = list(predictor.predict_all([small, np.zeros((2000, 2000, 3), dtype=np.uint8), small]))
    assert [isinstance(each, Failure) for each in answers] == [False, True, False]
    assert "the coarse pass reads 250,000" in str(answers[1])


def test_limit_of_time_is_measured_on_the_first_picture(zoom):
    predictor = Predictor(zoom, ZoomLimit(max_ms=1e6))
    assert predictor(pixels_of((40, 60))).answer.windows.shape == (1, 4)
    assert predictor._zoom.time is not None


def test_steps_give_the_answers_of_a_call(predictor):
    pictures = [pixels_of((40, 60)), pixels_of(), b"no picture", pixels_of((500, 360), (90, 80))]
    started = predictor.start(pictures)
    waiting = [each for each in started if not isinstance(each, Failure)]
    assert not any(each.is_decided for each in waiting)
    finished, planned = predictor.advance(waiting)
    assert [item for item, _ in finished] == [1]  # nothing to look at closely
    assert all(each.is_decided for each in planned)
    rest, none = predictor.advance(planned)
    assert not none
    expected = list(predictor.predict_all(pictures))
    for item, answer in [*finished, *rest]:
        assert replace(answer, name="").to_json() == replace(expected[item], name="").to_json()


def test_steps_of_different_kinds_are_not_taken_together(predictor):
    waiting = predictor.start([pixels_of((40, 60))])
    _, planned = predictor.advance(waiting)
    with pytest.raises(ValueError, match="the same step"):
        predictor.advance([*waiting, *planned])


def test_frames_remember_what_the_frame_before_them_showed():
    blind = CallableDetector(lambda images: [{"boxes": [], "scores": [], "labels": []} for _ in images], ["square"])
    seen = iter([Recorder(), *[lambda images: blind._function(images)] * 5])
    coarse = CallableDetector(lambda images: next(seen)(images), ["square"])  # sees the first frame alone
    zoom = ZoomDetector(coarse, CallableDetector(Recorder(), ["square"]))
    frames = [pixels_of((40, 60)), pixels_of((44, 62)), pixels_of((48, 64)), pixels_of()]
    answers = list(Predictor(zoom, HALF_THE_PIXELS).follow(frames, name="clip.mp4 frame"))
    assert [len(answer.found) for answer in answers] == [1, 1, 1, 0]
    assert answers[2].name == "clip.mp4 frame 2"
    np.testing.assert_allclose(answers[2].found.boxes[0], [48, 64, 60, 76])


def test_categories_are_numbered_as_coco_numbers_them():
    assert number_categories(["car", "bus"]) == (1, 2)
    assert number_categories(["__background__", "person", "bicycle"]) == (0, 1, 2)
    assert image_id("photos/roof 1.jpg") == "roof 1.jpg"
