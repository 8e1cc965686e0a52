import json

import pytest
from matplotlib.figure import Figure
from PIL import Image

from modicum.presenting import present, with_files
from modicum.reporting.plots.drawing import new_figure
from modicum.reporting.report import (
    Sheet,
    SheetPicture,
    SheetRow,
    SheetSection,
    Strip,
    compare_sheets,
    keep_figures,
    read_sheet,
    write_sheet,
)
from modicum.storage import DataError, RunError, RunFolder
from modicum.storage.sealing import write_sealed


def draw(width_in: float) -> Figure:
    figure = new_figure(width_in, 2)
    figure.subplots().plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def sheet():
    rows = (SheetRow(("network", "31.2"), is_ours=True), SheetRow(("<baseline>", "29.9")))
    pictures = (SheetPicture(Image.new("RGB", (40, 30), "red"), "input"),)
    return Sheet(
        system="rnan",
        headline="31.2 dB on 4 images, 1.3 dB above the best baseline",
        data="4 photographs",
        sections=(
            SheetSection("Measures", ("method", "PSNR, dB"), rows, "Higher is better."),
            SheetSection("Curve", draw=draw, caption="PSNR over steps."),
            SheetSection("Pictures", strips=(Strip("camera", pictures),)),
        ),
        figures={"psnr": 31.2},
    )


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(
        tmp_path / "run", system="rnan", recipe_text="seed: 0\n", command="modicum train rnan", versions={"torch": "2"}
    )


def test_page_holds_tables_plots_pictures_and_how_to_repeat_it(run, sheet):
    write_sheet(run, sheet, {"Training": "3 epochs"})
    page = run.report.read_text()
    for words in ("<b>31.2 dB</b>", "Higher is better.", "<svg", "data:image/png", "modicum train rnan", "seed: 0"):
        assert words in page
    assert page.count('class="ours"') == 1
    assert "3 epochs" in page


def test_words_of_the_user_are_escaped(run, sheet):
    write_sheet(run, sheet, {})
    assert "&lt;baseline&gt;" in run.report.read_text()


def test_kept_figures_come_back_without_plots_and_pictures(run, sheet):
    keep_figures(run, sheet)
    found = read_sheet(run)
    assert found.sections == sheet.sections[:1]
    assert (found.headline, found.figures) == (sheet.headline, sheet.figures)


def test_run_that_was_never_evaluated_says_how_to(run):
    with pytest.raises(RunError, match=r"has no figures\.json yet: modicum evaluate"):
        read_sheet(run)


def test_damaged_figures_are_refused(run):
    write_sealed(run.figures, {})
    with pytest.raises(DataError, match=r"is damaged \(KeyError"):
        read_sheet(run)


def test_comparison_shows_each_run_and_the_baselines_once(sheet):
    compared = compare_sheets({"a": sheet, "b": sheet})
    assert [row.cells[0] for row in compared.sections[0].rows] == ["a", "b", "<baseline>"]


def test_comparison_names_the_run_of_a_baseline_that_others_do_not_share(sheet):
    section = sheet.sections[0]
    others = (section.rows[0], SheetRow(("<baseline>", "25.0")))
    other = Sheet(sheet.system, sheet.headline, sheet.data, (SheetSection(section.title, section.columns, others),))
    compared = compare_sheets({"a": sheet, "b": other})
    assert [row.cells for row in compared.sections[0].rows[2:]] == [
        ("a: <baseline>", "29.9"),
        ("b: <baseline>", "25.0"),
    ]


def test_comparison_says_where_runs_were_tested_on_different_data(sheet):
    other = Sheet(sheet.system, sheet.headline, "other photographs", sheet.sections)
    assert "do not compare" in compare_sheets({"a": sheet, "b": other}).sections[0].note


def test_comparison_refuses_runs_with_other_measures(sheet):
    other = Sheet("saliency", "", "", (SheetSection("Measures", ("method", "MAE")),))
    with pytest.raises(DataError, match="b reports method, MAE, but a method, PSNR"):
        compare_sheets({"a": sheet, "b": other})


def test_sheet_is_printed_as_tables_with_the_headline_last(sheet, capsys):
    present(with_files(sheet, {}), as_json=False)
    text = capsys.readouterr().out
    assert text.index("Measures") < text.index("Higher is better.") < text.index("31.2 dB on 4 images")


def test_sheet_is_printed_as_json_on_request(sheet, capsys):
    present(with_files(sheet, {}), as_json=True)
    assert json.loads(capsys.readouterr().out)["tables"][0]["rows"][1]["cells"] == ["<baseline>", "29.9"]
