import json

import numpy as np
import pytest

from modicum.restore.metrics import Scores
from modicum.restore.report import evaluation_report
from modicum.restore.results import Evaluation, Example, ImageScore, Method, TileRow

INFINITE = float("inf")


def evaluation(*methods, images=2, tiles=()):
    scores = tuple(ImageScore(f"{n}.png", Scores(25 + n, 0.8), Scores(15 + n, 0.3)) for n in range(images))
    picture = np.zeros((8, 8), np.uint8)
    return Evaluation(
        system="rnan",
        task="Gaussian noise",
        metric="in 8 bit",
        data="some photographs",
        num_images={"train": 1200, "test": images},
        tile=96,
        halo=12,
        methods=methods or (method("network", 25.5), method("noisy", 15.5)),
        images=scores,
        tiles=tiles,
        examples=(Example("0.png", picture, picture, picture, scores[0]),),
        missing=("BM3D is left out",),
    )


def method(name, psnr, **options):
    return Method(name, Scores(psnr, 0.7), **options)


@pytest.mark.parametrize(
    ("methods", "headline"),
    [
        (
            (method("network", 26.0), method("noisy", 15.0), method("BM3D", 25.5)),
            "Gaussian noise: 26.00 dB on 2 test images, 0.50 dB above the best of the others, BM3D.",
        ),
        (
            (method("network", 25.0), method("noisy", 15.0), method("BM3D", 25.5)),
            "Gaussian noise: 25.00 dB on 2 test images, 0.50 dB below the best of the others, BM3D.",
        ),
        ((method("network", 25.0),), "Gaussian noise: 25.00 dB on 2 test images."),
    ],
)
def test_headline_holds_the_network_against_the_best_of_the_others(methods, headline):
    assert evaluation_report(evaluation(*methods)).headline == headline


def test_ensemble_of_the_network_is_no_baseline():
    methods = method("network", 26.0), method("network, self-ensemble", 27.0), method("noisy", 15.0)
    assert "11.00 dB above the best of the others, noisy" in evaluation_report(evaluation(*methods)).headline


def test_one_image_is_not_plural():
    assert "on 1 test image," in evaluation_report(evaluation(images=1)).headline


def test_rows_state_size_cost_and_time_where_there_are_any():
    ours = method("network", 26.0, parameters=8957249, macs_per_pixel=6_454_400, seconds_per_megapixel=12.34)
    table = evaluation_report(evaluation(ours, method("noisy", 15.0, note="as it came"))).sections[0].table
    assert table.rows[0].cells == ("network", "26.00", "0.7000", "8,957,249", "6,454.4", "12.3")
    assert table.rows[1].cells == ("noisy", "15.00", "0.7000", "", "", "")
    assert [row.is_ours for row in table.rows] == [True, False]
    assert "noisy: as it came." in table.note
    assert "BM3D is left out" in table.note


def test_infinite_decibels_are_null_in_json_and_told_in_words():
    equal = TileRow(96, 12, 4, INFINITE, 0.0, 0.0, 1.5)
    ours = method("network", INFINITE)

    report = evaluation_report(evaluation(ours, method("noisy", 15.0), tiles=(equal,)))

    figures = json.loads(json.dumps(report.to_json(), allow_nan=False))["figures"]
    assert figures["tiles"][0]["psnr_db"] is None
    assert figures["methods"][0]["scores"]["psnr"] is None
    assert report.sections[-1].table.rows[0].cells == ("96 px", "12 px", "4 px", "equal", "0.0", "+0.000", "1.50")


def test_tiles_of_the_report_are_marked():
    rows = TileRow(48, 0, 0, 30.0, 80.0, -0.1, 1.0), TileRow(96, 12, 4, 80.0, 0.3, 0.0, 1.8)
    table = evaluation_report(evaluation(tiles=rows)).sections[-1].table
    assert [row.is_ours for row in table.rows] == [False, True]


def test_a_tile_section_and_pictures_only_where_there_are_any():
    assert [section.title for section in evaluation_report(evaluation()).sections] == [
        "Restored test images",
        "Image by image",
        "Pictures",
    ]


def test_many_images_are_drawn_instead_of_listed():
    (_, few), (plot, many) = (evaluation_report(evaluation(images=count)).sections[1].blocks for count in (24, 25))
    assert (len(few.rows), len(many.rows)) == (24, 0)
    assert few.rows[0].cells == ("0.png", "15.00", "25.00", "+10.00")
    figure = plot.draw(6.0)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [25, 25]


def test_strip_tells_the_decibels_of_each_picture():
    strip = evaluation_report(evaluation()).sections[2].blocks[1]
    assert [picture.caption for picture in strip.pictures] == ["input: 15.00 dB", "network: 25.00 dB", "true"]
