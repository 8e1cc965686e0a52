import json

import pytest
from matplotlib.figure import Figure
from PIL import Image

from modicum.presenting import present, with_files
from modicum.reporting.page import write_page
from modicum.reporting.plots.drawing import new_figure
from modicum.reporting.records import compare_reports, keep_report, read_report
from modicum.reporting.report import Findings, Note, Picture, Plot, Report, Row, Section, Strip, Table
from modicum.storage import DataError, RunError, RunFolder
from modicum.storage.sealing import write_sealed


def draw(width_in: float) -> Figure:
    figure = new_figure(width_in, 2)
    figure.subplots().plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def report():
    rows = (Row(("network", "31.2"), is_ours=True), Row(("<baseline>", "29.9")))
    pictures = (Picture(Image.new("RGB", (40, 30), "red"), "input"),)
    return Report(
        system="rnan",
        headline="31.2 dB on 4 images, 1.3 dB above the best baseline",
        data="4 photographs",
        sections=(
            Section("Measures", (Table(("method", "PSNR, dB"), rows, "Higher is better."), Findings(("It wins.",)))),
            Section("Curve", (Plot(draw, "PSNR over steps."), Table(("step", "PSNR"), rows, fold="All steps"))),
            Section("Pictures", (Strip("camera", pictures), Note("red", fold="Its colours")), "As they came."),
        ),
        figures={"psnr": 31.2},
    )


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(
        tmp_path / "run", system="rnan", recipe_text="seed: 0\n", command="modicum train rnan", versions={"torch": "2"}
    )


def test_page_holds_tables_plots_pictures_and_how_to_repeat_it(run, report):
    write_page(run, report, {"Training": "3 epochs"})
    page = run.report.read_text()
    for words in ("<b>31.2 dB</b>", "Higher is better.", "<svg", "data:image/png", "modicum train rnan", "seed: 0"):
        assert words in page
    assert page.count('class="ours"') == 2
    assert "3 epochs" in page


def test_words_of_the_user_are_escaped(run, report):
    write_page(run, report, {})
    assert "&lt;baseline&gt;" in run.report.read_text()


def test_kept_figures_come_back_without_plots_and_pictures(run, report):
    keep_report(run, report)
    found = read_report(run)
    assert found.sections == (Section("Measures", report.sections[0].blocks[:1]),)
    assert (found.headline, found.figures) == (report.headline, report.figures)


def test_run_that_was_never_evaluated_says_how_to(run):
    with pytest.raises(RunError, match=r"has no figures\.json yet: modicum evaluate"):
        read_report(run)


def test_damaged_figures_are_refused(run):
    write_sealed(run.figures, {})
    with pytest.raises(DataError, match=r"is damaged \(KeyError"):
        read_report(run)


def test_comparison_shows_each_run_and_the_baselines_once(report):
    compared = compare_reports({"a": report, "b": report})
    assert [row.cells[0] for row in compared.sections[0].table.rows] == ["a", "b", "<baseline>"]


def test_comparison_names_the_run_of_a_baseline_that_others_do_not_share(report):
    section = report.sections[0]
    others = (section.table.rows[0], Row(("<baseline>", "25.0")))
    other = Report(
        report.system, report.headline, report.data, (Section(section.title, (Table(section.table.columns, others),)),)
    )
    compared = compare_reports({"a": report, "b": other})
    assert [row.cells for row in compared.sections[0].table.rows[2:]] == [
        ("a: <baseline>", "29.9"),
        ("b: <baseline>", "25.0"),
    ]


def test_comparison_says_where_runs_were_tested_on_different_data(report):
    other = Report(report.system, report.headline, "other photographs", report.sections)
    assert "do not compare" in compare_reports({"a": report, "b": other}).sections[0].table.note


def test_comparison_refuses_runs_with_other_measures(report):
    other = Report("saliency", "", "", (Section("Measures", (Table(("method", "MAE"), ()),)),))
    with pytest.raises(DataError, match="b reports method, MAE, but a method, PSNR"):
        compare_reports({"a": report, "b": other})


def test_report_is_printed_as_tables_with_the_headline_last(report, capsys):
    present(with_files(report, {}), as_json=False)
    text = capsys.readouterr().out
    assert text.index("Measures") < text.index("Higher is better.") < text.index("31.2 dB on 4 images")


def test_report_is_printed_as_json_on_request(report, capsys):
    present(with_files(report, {}), as_json=True)
    assert json.loads(capsys.readouterr().out)["tables"][0]["rows"][1]["cells"] == ["<baseline>", "29.9"]
