import json

import pytest
from PIL import Image

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.curve import Curve, Point
from modicum.detect.metrics import CocoFigures
from modicum.detect.zoom.report import evaluation_report
from modicum.detect.zoom.results import Clock, Evaluation, Example, GainQuality, Returns, Standing
from modicum.storage.values import from_plain

PLAIN = 1000.0


def standing(name, ap50, pixels, miss_rate=None):
    figures = CocoFigures(ap50 / 2, ap50, ap50 / 2, None, 0.2, 0.3, 0.4)
    return Standing(name, figures, ap50 - 0.1, ap50 + 0.1, pixels, pixels, 2.0, miss_rate)


def evaluation(**changes):
    point = Point("price 4", 400.0, 0.9, 0.8, 0.95, 4.0, {"2 windows": 1.0}, {"AP": 0.5})
    plain = (Point("fine alone", PLAIN, 0.92, 0.8, 0.99), Point("coarse alone", 60.0, 0.6, 0.5, 0.7))
    random = Point("random places", 400.0, 0.7, 0.6, 0.8)
    values = {
        "system": "zoom",
        "data": "squares",
        "num_images": {"train": 9, "calibration": 3, "test": 4},
        "classes": ("square",),
        "curve": Curve("px", 4, (point,), (random,), (), point, plain),
        "calibration": Calibration(400.0, "px", 4.0, 390.0, PLAIN, 0.9, 3, "abc"),
        "calibrated": point,
        "standings": (standing("zoom, R-net", 0.9, 0.4), standing("fine alone", 0.92, 1.0)),
        "gains": GainQuality(0.3, 0.5, 0.5, 0.2, float("nan")),
        "clock": Clock(4, 1, 50.0, 450.0, 150.0, 60.0, 5.0, 80.0, 5.0),
        "paid_most": (Example("a.png", Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8)), 0.25, 0.4),),
    }
    return Evaluation(**{**values, **changes})


def text_of(report):
    return json.dumps(report.to_json(), ensure_ascii=False)


def test_headline_says_what_is_kept_and_what_is_read():
    headline = evaluation_report(evaluation()).headline
    assert "keeps 97.8 % of the average precision of the fine detector at 40 % of the pixels" in headline


def test_kept_evaluation_comes_back_without_pictures():
    kept = json.loads(json.dumps(evaluation().to_json()))
    again = from_plain(Evaluation, kept)
    assert again.paid_most == ()
    assert again.standings == evaluation().standings
    assert again.curve == evaluation().curve


def test_time_counts_reading_the_picture_in_both():
    assert evaluation().clock.share == pytest.approx(200 / 500)
    assert "zooming takes 40 % of the time" in text_of(evaluation_report(evaluation()))


def test_miss_rate_stands_where_there_is_one_class():
    single = evaluation(standings=(standing("zoom, R-net", 0.9, 0.4, 0.2), standing("fine alone", 0.92, 1.0, 0.1)))
    assert "MR-2" in text_of(evaluation_report(single))
    assert "MR-2" not in text_of(evaluation_report(evaluation()))


def test_report_tells_where_prices_of_a_qnet_were_replaced_and_its_returns():
    learned = evaluation(replaced_rungs=2, returns=(Returns(4.0, 1.9, 2.0),))
    report = evaluation_report(learned)
    assert "95.0 %" in text_of(report)
    assert any("At 2 prices the Q-net read more" in str(part) for part in map(str, report.sections))


def test_sections_without_content_are_left_out():
    titles = [section.title for section in evaluation_report(evaluation(gains=None, clock=None)).sections]
    assert not {"Time", "R-net's gains beside true ones", "Q-net against the greedy policy"} & set(titles)
