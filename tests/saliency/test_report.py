import json
from dataclasses import replace

import numpy as np
import pytest

from modicum.datasets.duplicates import Duplicate
from modicum.reporting.page import write_page
from modicum.saliency.attention_mass import AttentionMass
from modicum.saliency.metrics import Curves, Figures, ImageScore
from modicum.saliency.report import evaluation_report
from modicum.saliency.results import Evaluation, Example, MethodScores
from modicum.storage import RunFolder

CURVES = Curves(*(tuple(np.linspace(start, end, 256).tolist()) for start, end in ((0.3, 1), (1, 0), (0.4, 0.7))))


def method(name, max_f, mae, parameters=None, macs=None):
    figures = Figures(mae, mae + 0.01, max_f, max_f - 0.03, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66)
    return MethodScores(name, figures, CURVES, parameters, macs)


def example(name, s_measure):
    pixels = np.full((8, 10, 3), 90, np.uint8)
    mask = np.zeros((8, 10), np.uint8)
    return Example(name, pixels, mask, mask, ImageScore(name, 0.1, 0.5, s_measure, 0.4))


@pytest.fixture
def evaluation():
    best, typical, worst = example("best.png", 0.9), example("typical.png", 0.7), example("worst.png", 0.2)
    return Evaluation(
        system="saliency",
        data="1,300 images with masks in photos",
        num_images={"train": 1000, "calibration": 100, "test": 1200},
        image_px=320,
        methods=(
            method("network", 0.912, 0.043, parameters=1_234_567, macs=2_345_600_000),
            method("U-Net of equal cost", 0.801, 0.101, parameters=98_765, macs=2_300_000_000),
            method("all zero", 0.2, 0.2),
            method("centre Gaussian", 0.55, 0.25),
        ),
        images=tuple(each.score for each in (best, typical, worst)),
        best=(best,),
        typical=(typical,),
        worst=(worst,),
        attention=(AttentionMass(0, 0.75, 0.5, 60),),
        duplicates=(Duplicate("train/1.jpg", "test/2.jpg", 3),),
    )


def section(report, title):
    (found,) = [each for each in report.sections if each.title == title]
    return found


def titles(report):
    return [each.title for each in report.sections]


def test_headline_holds_the_network_against_the_best_baseline(evaluation):
    assert evaluation_report(evaluation).headline == (
        "On 1,200 test images the maps reach a maximal F of 0.912 and a mean absolute error of 0.043; "
        "the best baseline, U-Net of equal cost, 0.801 and 0.101."
    )


def test_headline_without_baselines_speaks_of_the_network_alone(evaluation):
    alone = replace(evaluation, methods=evaluation.methods[:1])
    assert evaluation_report(alone).headline.endswith("a mean absolute error of 0.043.")


def test_each_method_has_a_row_of_its_measures(evaluation):
    rows = section(evaluation_report(evaluation), "Measures on the test images").table.rows
    assert [(row.cells[0], row.is_ours) for row in rows] == [
        ("network", True),
        ("U-Net of equal cost", False),
        ("all zero", False),
        ("centre Gaussian", False),
    ]
    measures = ("0.043", "0.053", "0.912", "0.882", "0.610", "0.620", "0.630", "0.640", "0.660")
    assert rows[0].cells[1:-2] == measures


def test_only_networks_have_parameters_and_multiply_adds(evaluation):
    table = section(evaluation_report(evaluation), "Measures on the test images").table
    assert table.columns[-2:] == ("parameters", "M MAC")
    assert [row.cells[-2:] for row in table.rows] == [
        ("1,234,567", "2,345.6"),
        ("98,765", "2,300.0"),
        ("", ""),
        ("", ""),
    ]


def test_duplicates_are_listed(evaluation):
    found = section(evaluation_report(evaluation), "Duplicates").table
    assert found.columns == ("train", "test", "distance")
    assert [row.cells for row in found.rows] == [("train/1.jpg", "test/2.jpg", "3")]


def test_no_duplicates_are_said_to_be_none(evaluation):
    found = section(evaluation_report(replace(evaluation, duplicates=())), "Duplicates").table
    assert (found.rows, found.note) == ((), "No training image looks like a test image.")


def test_duplicates_that_nobody_looked_for_have_no_section(evaluation):
    assert "Duplicates" not in titles(evaluation_report(replace(evaluation, duplicates=None)))


def test_attention_is_shown_where_there_is_any(evaluation):
    found = section(evaluation_report(evaluation), "What attention attends to").table
    assert [row.cells for row in found.rows] == [("1", "0.750", "0.500", "+0.250", "60")]
    assert "What attention attends to" not in titles(evaluation_report(replace(evaluation, attention=())))


def test_examples_show_picture_truth_and_map(evaluation):
    _, strip = section(evaluation_report(evaluation), "The worst maps").blocks
    captions = [picture.caption for picture in strip.pictures]
    assert (strip.title, captions) == ("worst.png", ["picture", "truth", "map: S 0.200, MAE 0.100"])


def test_report_is_plain_data_for_json(evaluation):
    figures = json.loads(json.dumps(evaluation_report(evaluation).to_json()))["figures"]
    assert figures["methods"][0]["parameters"] == 1_234_567
    assert figures["worst"] == ["worst.png"]


def test_page_is_written_with_plots_pictures_and_tables(evaluation, tmp_path):
    run = RunFolder.create(
        tmp_path / "run", system="saliency", recipe_text="seed: 0\n", command="modicum train saliency", versions={}
    )
    write_page(run, evaluation_report(evaluation), {"Encoder": "small, from scratch"})
    page = run.report.read_text()
    for words in ("<svg", "data:image/png", "0.912", "worst.png", "train/1.jpg", "small, from scratch"):
        assert words in page
    assert page.count('class="ours"') == 1
