import json
from dataclasses import replace

import numpy as np
import pytest

from modicum.reading.breakdowns import Breakdown, Group
from modicum.reading.calibration import reliability
from modicum.reading.metrics import Figures, QuestionScore, Scores
from modicum.reading.normalisation import Rules
from modicum.reading.report import reading_sheet
from modicum.reading.results import Abstention, Attended, Evaluation, Example, Method
from modicum.reporting.report import write_sheet
from modicum.storage import RunFolder

ATTENDED = Attended(("in", "$1868$", "and", "東京"), ("When", "?"), np.full((4, 2), 0.5, np.float32))


def example(question="When did he <b>write</b> it?", answer="1868", f1=1.0):
    return Example(question, ("1868", "1868", "in 1868"), answer, 0.62, f1, "He wrote it in 1868 .", ATTENDED)


@pytest.fixture
def evaluation():
    rows = (QuestionScore("a", 1.0, 1.0, True), QuestionScore("b", 0.0, 0.25, True))
    figures = Figures(50.0, 62.5, 2)
    return Evaluation(
        system="qanet",
        data="48 articles in dev.json",
        version="1.1",
        rules=Rules.OFFICIAL,
        num_questions={"train": 8000, "calibration": 100, "test": 2},
        methods=(
            Method("network", figures, 126_898, 321.4),
            Method("reader with LSTMs", Figures(30.0, 41.5, 2), 2_580_000, 120.0, "trained alike"),
            Method("word overlap", Figures(5.0, 18.7, 2)),
        ),
        scores=Scores(figures, figures, None, rows, ()),
        groups=Breakdown((Group("when", figures),), (Group("1", figures),), (Group("101-150", figures),)),
        reliability=reliability([0.6, 0.2], [1, 0]),
        abstention=None,
        right=(example(),),
        wrong=(example(answer="", f1=0.25),),
    )


def section(sheet, title):
    (found,) = [each for each in sheet.sections if each.title == title]
    return found


def test_first_table_holds_the_network_against_the_others(evaluation):
    table = reading_sheet(evaluation).sections[0]
    assert [row.cells for row in table.rows] == [
        ("network", "50.0", "62.5", "126,898", "321"),
        ("reader with LSTMs", "30.0", "41.5", "2,580,000", "120"),
        ("word overlap", "5.0", "18.7", "", ""),
    ]
    assert [row.is_ours for row in table.rows] == [True, False, False]
    assert table.note.endswith("reader with LSTMs: trained alike.")


def test_headline_names_the_best_of_the_others(evaluation):
    assert reading_sheet(evaluation).headline == (
        "F1 62.5 % and exact match 50.0 % on 2 test questions; "
        "the best of the others, reader with LSTMs, 41.5 % and 30.0 %."
    )
    alone = replace(evaluation, methods=evaluation.methods[:1])
    assert reading_sheet(alone).headline == "F1 62.5 % and exact match 50.0 % on 2 test questions."


def test_no_answer_is_reported_only_where_there_may_be_none(evaluation):
    title = "Questions without an answer"
    assert title not in [each.title for each in reading_sheet(evaluation).sections]
    abstention = Abstention(1.25, Figures(40.0, 50.0, 1), Figures(70.0, 70.0, 1), 61.5)
    found = section(reading_sheet(replace(evaluation, abstention=abstention)), title)
    assert [row.cells for row in found.rows] == [
        ("with an answer", "1", "40.0", "50.0"),
        ("without an answer", "1", "70.0", "70.0"),
    ]
    assert "beats “no answer” by 1.25 in log probability" in found.note
    assert "had F1 61.5." in found.note


def test_examples_show_question_answers_and_how_sure_it_was(evaluation):
    sheet = reading_sheet(evaluation)
    assert section(sheet, "Answered well").rows[0].cells == (
        "When did he <b>write</b> it?",
        "1868 / in 1868",
        "1868",
        "62 %",
        "100",
    )
    assert section(sheet, "Answered badly").rows[0].cells[2] == "no answer"


def test_page_holds_the_attention_and_escapes_what_people_wrote(evaluation, tmp_path):
    run = RunFolder.create(tmp_path / "run", system="qanet", recipe_text="epochs: 1\n", command="", versions={})
    write_sheet(run, reading_sheet(evaluation), {"Network": "tiny"})
    page = run.report.read_text()
    assert "He wrote it in 1868 ." in page
    assert "<b>write</b>" not in page
    assert "$1868$" in page
    assert "東京" in page
    assert page.count("<svg") == 2 * 3  # reliability and two examples, in two layouts


def test_figures_are_plain_data_and_tables_render(evaluation):
    sheet = reading_sheet(evaluation)
    figures = json.loads(json.dumps(sheet.to_json()))["figures"]
    assert figures["methods"][0]["figures"]["f1"] == 62.5
    assert figures["right"][0]["answer"] == "1868"
    assert sheet.render()


def test_long_words_of_a_table_are_cut(evaluation):
    long = replace(evaluation, right=(example(question="why " * 100),))
    question = section(reading_sheet(long), "Answered well").rows[0].cells[0]
    assert len(question) == 160
    assert question.endswith("…")
