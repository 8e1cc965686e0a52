from dataclasses import replace

import pytest

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.squad import write_squad
from modicum.reading.recipe import TextOptions
from modicum.reading.report import survey_sheet
from modicum.reading.survey import Lengths, survey


@pytest.fixture
def file(tmp_path):
    """A file of six articles of one question each, one of which has no answer, and one an answer inside a word."""
    questions = [Question(f"q{n}", "What is it ?", (Answer("blue", 4),)) for n in range(4)]
    questions += [Question("q4", "What is it ?", (Answer("blu", 4),)), Question("q5", "Why ?", (), impossible=True)]
    passages = (Passage(f"The blue sky {n}", (question,), f"title {n}") for n, question in enumerate(questions))
    write_squad(tmp_path / "six.json", Corpus(tuple(passages), "2.0"))
    return tmp_path / "six.json"


def test_survey_says_what_is_there(file, tmp_path):
    (tmp_path / "glove.txt").write_text("the 1 2\nblue 3 4\n")
    found = survey(file, vectors=tmp_path / "glove.txt")
    assert (found.passages, found.questions, found.impossible, found.problems) == (6, 6, 1, ())
    assert found.passage_lengths == Lengths(4, 4, 4)
    assert found.question_lengths == Lengths(pytest.approx(22 / 6), 4, 4)
    assert (found.alignment.answers, found.alignment.same) == (5, 4)
    assert (found.coverage.covered_tokens, found.coverage.tokens) == (12, 24)
    assert found.splits == {"train": 4, "calibration": 1, "test": 1}


def test_set_without_answers_has_no_alignment(tmp_path):
    passages = (Passage(f"text {n}", (Question(f"q{n}", "Why ?", (), impossible=True),)) for n in range(4))
    write_squad(tmp_path / "none.json", Corpus(tuple(passages), "2.0"))
    assert survey(tmp_path / "none.json").alignment is None


def corpus_of(tmp_path, text, answer):
    questions = (Question(f"q{n}", "?", (Answer(answer, text.index(answer)),)) for n in range(4))
    passages = tuple(Passage(f"{text} {n}", (question,), f"{n}") for n, question in enumerate(questions))
    write_squad(tmp_path / "set.json", Corpus(passages, "1.1"))
    return tmp_path / "set.json"


@pytest.mark.parametrize(
    ("text", "answer"), [("부산의 방앗간은 1800년에 민수가 지었다.", "민수"), ("磨坊由李明于1800年建造。", "李明")]
)
def test_answers_in_scripts_with_endings_or_without_blanks_are_all_reached(tmp_path, text, answer):
    found = survey(corpus_of(tmp_path, text, answer))
    assert (found.alignment.exact, found.alignment.oracle_em, found.alignment.oracle_f1) == (4, 100, 100)
    assert survey_sheet(found).headline.endswith("tokens let at most 100.0 % of the answers be found exactly")


def test_verdict_says_what_tokens_cannot_reach_and_what_can(tmp_path):
    file = corpus_of(tmp_path, "Değirmeni Ayşe Ankara'da kurdu", "Değirmen")
    assert survey_sheet(survey(file)).headline.endswith(
        "4 questions of "
        f"{file} can be used, 0 kinds of faults; tokens let at most 0.0 % of the answers be found exactly, the others "
        "end inside words: train with --text.tokenizer characters"
    )
    found = survey(file, options=TextOptions(tokenizer="characters"))
    assert survey_sheet(found).headline.endswith("at most 100.0 % of the answers be found exactly")


def test_verdict_rounds_no_share_up_to_all(file):
    found = survey(file)
    close = replace(found, alignment=replace(found.alignment, oracle_em=99.99))
    assert "at most 99.9 %" in survey_sheet(close).headline


def test_problems_are_in_the_survey(file):
    file.write_text(file.read_text().replace('"answer_start": 4', '"answer_start": 5', 1))
    assert survey(file).problems == (
        "1 answer stood elsewhere than its offset says; the nearest occurrence was taken, e.g. 'q0'",
    )
