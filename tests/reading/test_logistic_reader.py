import numpy as np
import pytest

from modicum.reading.baselines import answer_all
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.logistic_reader import LogisticOptions, fit_logistic_reader
from modicum.reading.metrics import score_v1

NAMES = ["Anna", "Bruno", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Irma", "Jakob", "Karla", "Linus"]
TOWNS = ["Rome", "Oslo", "Bern", "Riga", "Cairo", "Lima", "Quito", "Dublin", "Sofia", "Tunis", "Minsk", "Paris"]


def facts(start, stop):
    """Passages of three people each, and for each the questions of one of them."""
    passages = []
    for seed in range(start, stop):
        rng = np.random.default_rng(seed)
        names, towns = rng.choice(NAMES, 3, replace=False), rng.choice(TOWNS, 3, replace=False)
        years = rng.integers(1800, 2000, 3)
        rows = list(zip(names, towns, years, strict=True))
        text = " ".join(f"{name} was born near {town} in {year}." for name, town, year in rows)
        name, town, year = rows[rng.integers(3)]
        golds = {f"When was {name} born?": f"{year}", f"Where was {name} born?": f"{town}"}
        questions = tuple(
            Question(f"{seed} {question}", question, (Answer(gold, text.index(gold)),))
            for question, gold in golds.items()
        )
        passages.append(Passage(text, questions))
    return Corpus(tuple(passages), "1.1")


@pytest.fixture(scope="module")
def reader():
    return fit_logistic_reader(facts(0, 80))


def test_reader_learns_what_and_where_is_asked_for(reader):
    test = facts(1000, 1040)
    assert score_v1(test, answer_all(reader, test)).overall.exact > 80  # chance of the type alone: 33


def test_training_is_repeatable(reader):
    passage, question = facts(1000, 1001).passages[0].text, "Where was Anna born?"
    again = fit_logistic_reader(facts(0, 80))
    np.testing.assert_allclose(again.scores(passage, question), reader.scores(passage, question))


def test_answer_does_not_depend_on_other_questions(reader):
    test = facts(1000, 1010)
    backwards = Corpus(test.passages[::-1], "1.1")
    assert answer_all(reader, test) == answer_all(reader, backwards)


@pytest.mark.parametrize("passage", ["", "...", "the of"])
def test_passage_without_candidates_has_no_answer(reader, passage):
    assert reader(passage, "Who?") == ""


@pytest.mark.parametrize("question", ["", "?", "zebra what"])
def test_any_question_is_answered(reader, question):
    passage = "Anna was born near Rome."
    assert reader(passage, question) in passage


def test_one_word_is_an_answer(reader):
    assert reader("Rome", "Where?") == "Rome"


def test_corpus_without_answers_is_refused():
    corpus = Corpus((Passage("Rome", (Question("q", "Where?", ()),)),), "2.0")
    with pytest.raises(ValueError, match="no question has an answer among the candidate spans"):
        fit_logistic_reader(corpus, LogisticOptions(negatives=2))
