import pytest

from modicum.reading.breakdowns import break_down, question_word
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.metrics import score_v2


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is it?", "what"),
        ("In which year?", "which"),
        ("To whom?", "who"),
        ("Whose is it?", "who"),
        ("How many are there?", "how many"),
        ("how much?", "how many"),
        ("How long?", "how"),
        ("Name the other one.", "other"),
        ("", "other"),
        ("When did what happen?", "when"),
    ],
)
def test_question_word(question, word):
    assert question_word(question) == word


LONG = "word " * 120
CORPUS = Corpus(
    (
        Passage(
            "A dog ran .",
            (
                Question("a", "Who ran?", (Answer("A dog ran", 0), Answer("dog", 2))),
                Question("b", "What ran?", (Answer("A dog ran .", 0),)),
                Question("c", "Why?", (), impossible=True),
            ),
        ),
        Passage(LONG, (Question("d", "Who?", (Answer(LONG.strip(), 0),)),)),
    ),
    "2.0",
)


def names(groups):
    return [(group.name, group.figures.total, group.figures.exact) for group in groups]


def test_questions_are_grouped_in_three_ways():
    breakdown = break_down(CORPUS, score_v2(CORPUS, {"a": "dog", "b": "cat", "c": "", "d": "x"}))
    assert names(breakdown.question_word) == [("what", 1, 0), ("who", 2, 50), ("why", 1, 100)]
    assert names(breakdown.answer_length) == [
        ("none", 1, 100),
        ("1", 1, 100),
        ("4-5", 1, 0),
        ("more than 10", 1, 0),
    ]
    assert names(breakdown.passage_length) == [("1-100", 3, pytest.approx(200 / 3)), ("101-150", 1, 0)]


def test_questions_that_were_not_scored_are_left_out():
    breakdown = break_down(CORPUS, score_v2(CORPUS, {"a": "dog"}))
    assert names(breakdown.question_word) == [("who", 1, 100)]
