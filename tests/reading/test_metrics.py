import json
import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.squad import read_squad
from modicum.reading.metrics import (
    BestThreshold,
    Figures,
    exact_match,
    f1_v1,
    f1_v2,
    score,
    score_v1,
    score_v2,
)
from modicum.reading.normalisation import Rules, normalise, rules_of


def corpus(golds, version="1.1"):
    questions = tuple(
        Question(key, f"{key}?", tuple(Answer(text, 0) for text in texts), impossible=not texts)
        for key, texts in golds.items()
    )
    return Corpus((Passage("text", questions),), version)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("Denver Broncos", "denver broncos"),
        ("The Denver Broncos", "denver broncos"),
        ("an apple and a pear", "apple and pear"),
        ("theory of banana", "theory of banana"),  # articles inside words stay
        ("co-op", "coop"),  # punctuation is deleted, not replaced by a space
        ("a.b", "ab"),
        ("a. b", "b"),  # punctuation goes before articles
        ("the-end", "theend"),
        ("$1,000.50", "100050"),
        ("  two \t\n  words ", "two words"),
        ("\u201cquoted\u201d", "\u201cquoted\u201d"),  # only ASCII punctuation is deleted
        ("\u2018the\u2019", "\u2018 \u2019"),
        ("caf\u00e9\u2013bar", "caf\u00e9\u2013bar"),
        ("\u00c9TAT", "\u00e9tat"),
        ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ""),
        ("The", ""),
        ("", ""),
        ("non\u00a0breaking", "non breaking"),
        ("\u00e9a the\u00e9", "\u00e9a the\u00e9"),  # a word boundary knows letters beyond ASCII
    ],
)
def test_normal_form(answer, normal):
    assert normalise(answer) == normal


@given(st.text())
def test_normal_form_is_stable_under_case_and_space(answer):
    assert normalise(f"  {answer}\n") == normalise(answer)


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("the Denver Broncos", "Denver Broncos", 1.0),
        ("Broncos", "Denver Broncos", 2 / 3),
        ("New York", "Denver", 0.0),
        ("of of of", "of of", 0.8),  # words count as often as they occur
        ("b c d", "c b", 0.8),  # in any order
        ("", "Denver", 0.0),
        ("Denver", "the", 0.0),
    ],
)
def test_f1_is_of_word_multisets(prediction, gold, expected):
    assert f1_v1(prediction, gold) == pytest.approx(expected)
    assert f1_v2(prediction, gold) == pytest.approx(expected)


def test_versions_differ_on_two_answers_without_words():
    assert exact_match("the", "!")
    assert f1_v1("the", "!") == 0
    assert f1_v2("the", "!") == 1


def plain_f1(prediction, gold):
    left, right = Counter(normalise(prediction).split()), Counter(normalise(gold).split())
    shared = sum(min(left[word], right[word]) for word in left)
    return 2 * shared / (left.total() + right.total()) if shared else 0.0


@given(st.text("ab the,", max_size=20), st.text("ab the,", max_size=20))
def test_f1_equals_the_dice_form_and_is_symmetric(prediction, gold):
    assert f1_v1(prediction, gold) == pytest.approx(plain_f1(prediction, gold))
    assert f1_v1(prediction, gold) == pytest.approx(f1_v1(gold, prediction))


def test_best_gold_counts_for_each_measure_by_itself():
    scores = score_v1(corpus({"q": ["x y z w", "the", "x"]}), {"q": "x y"})
    assert scores.questions[0].exact == 0
    assert scores.questions[0].f1 == pytest.approx(2 / 3)


def test_missing_prediction_scores_nothing_in_1_1():
    scores = score_v1(corpus({"a": ["x"], "b": ["y"]}), {"a": "x"})
    assert scores.overall == Figures(50.0, 50.0, 2)
    assert scores.missing == ("b",)


def test_missing_prediction_is_left_out_in_2_0():
    scores = score_v2(corpus({"a": ["x"], "b": ["y"], "c": []}, "2.0"), {"a": "x", "c": "z"})
    assert scores.overall == Figures(50.0, 50.0, 2)
    assert scores.has_answer == Figures(100.0, 100.0, 1)
    assert scores.no_answer == Figures(0.0, 0.0, 1)
    assert scores.missing == ("b",)


def test_unknown_ids_are_ignored():
    assert score_v1(corpus({"a": ["x"]}), {"a": "x", "stray": "y"}).overall == Figures(100.0, 100.0, 1)


def test_unanswerable_question_wants_the_empty_answer():
    scores = score_v2(corpus({"a": [], "b": [], "c": []}, "2.0"), {"a": "", "b": "x", "c": "the"})
    assert [row.exact for row in scores.questions] == [1, 0, 1]
    assert [row.f1 for row in scores.questions] == [1, 0, 1]
    assert scores.has_answer is None


def test_empty_prediction_for_an_answerable_question_is_wrong():
    scores = score_v2(corpus({"a": ["x"]}, "2.0"), {"a": ""})
    assert scores.overall == Figures(0.0, 0.0, 1)
    assert scores.no_answer is None


def test_gold_without_words_is_dropped_in_2_0_only():
    golds = {"q": ["the", "x"]}
    assert score_v2(corpus(golds, "2.0"), {"q": ""}).overall.exact == 0
    assert score_v1(corpus(golds), {"q": ""}).overall.exact == 100


def test_question_whose_golds_all_lack_words_wants_the_empty_answer_but_counts_as_answerable():
    scores = score_v2(corpus({"q": ["the", "!"]}, "2.0"), {"q": ""})
    assert scores.has_answer == Figures(100.0, 100.0, 1)


def test_probability_above_the_threshold_empties_an_answer():
    golds = {"a": ["x"], "b": [], "c": []}
    predictions, no_answer = {"a": "x", "b": "y", "c": "y"}, {"a": 0.9, "b": 0.9, "c": 0.5}
    scores = score_v2(corpus(golds, "2.0"), predictions, no_answer=no_answer, threshold=0.5)
    assert [row.exact for row in scores.questions] == [0, 1, 0]  # exactly the threshold is not above it


def test_default_threshold_overrules_nothing():
    scores = score_v2(corpus({"a": ["x"]}, "2.0"), {"a": "x"}, no_answer={"a": 1.0})
    assert scores.overall.exact == 100


def test_best_threshold_is_searched_on_the_predictions_as_they_are():
    golds = {"a": ["x"], "b": [], "c": ["y z"], "d": []}
    predictions = {"a": "x", "b": "w", "c": "y", "d": ""}
    no_answer = {"a": 0.1, "b": 0.7, "c": 0.4, "d": 0.9}
    scores = score_v2(corpus(golds, "2.0"), predictions, no_answer=no_answer, threshold=0.0)
    assert scores.best_exact == BestThreshold(75.0, 0.1)
    assert scores.best_f1 == BestThreshold(pytest.approx(100 * (3 + 2 / 3) / 4), 0.4)
    assert scores.overall.exact == 50


def test_best_threshold_is_zero_where_leaving_all_questions_is_best():
    scores = score_v2(corpus({"a": [], "b": ["x"]}, "2.0"), {"a": "y", "b": "y"}, no_answer={"a": 0.2, "b": 0.3})
    assert scores.best_f1 == BestThreshold(50.0, 0.0)


def test_best_threshold_counts_all_unanswerable_questions_but_divides_by_those_predicted():
    """As the published script has it."""
    scores = score_v2(corpus({"a": [], "b": []}, "2.0"), {"a": ""}, no_answer={"a": 0.5})
    assert scores.best_exact == BestThreshold(200.0, 0.0)


def test_no_thresholds_without_probabilities():
    scores = score_v2(corpus({"a": ["x"]}, "2.0"), {"a": "x"})
    assert scores.best_exact is None
    assert scores.best_f1 is None


def written_in(passage, golds, version="1.1"):
    questions = corpus(golds, version).passages[0].questions
    return Corpus((Passage(passage, questions),), version)


def test_answers_are_compared_by_the_rules_of_their_passage():
    chinese = score_v1(written_in("磨坊由李明于1800年建造,位于河边。", {"q": ["李明"]}), {"q": "由李明。"})
    assert (chinese.overall.exact, chinese.overall.f1) == (0, pytest.approx(80))
    english = score_v1(written_in("The mill was built by Li Ming (李明) in 1800.", {"q": ["李明"]}), {"q": "由李明。"})
    assert english.overall == Figures(0, 0, 1)


def test_empty_gold_of_another_script_is_dropped_in_2_0():
    scores = score_v2(written_in("磨坊位于河边。", {"q": ["。", "河边"]}, "2.0"), {"q": ""})
    assert scores.overall == Figures(0, 0, 1)


def official_normal_form(answer):
    """The published script's ``normalize_answer``."""
    bare = "".join(sign for sign in answer.lower() if sign not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


PIECES = st.lists(st.sampled_from(["the", "a", "an", "An.", "co-op", "$5", "x"])).map(" ".join)


@given(st.text(st.characters(codec="ascii")) | PIECES)
def test_normal_form_of_ascii_is_that_of_the_official_script(answer):
    assert normalise(answer) == official_normal_form(answer)


@pytest.mark.data
def test_every_passage_that_squad_is_scored_on_is_scored_by_the_official_rules(real_data):
    for name in ("dev-v1.1", "dev-v2.0"):
        passages = read_squad(real_data / "squad" / f"{name}.json.gz").corpus.passages
        assert {rules_of(passage.text) for passage in passages} == {Rules.OFFICIAL}


@pytest.mark.parametrize(("version", "total"), [("1.1", 2), ("2.0", 1)])
def test_version_of_the_corpus_chooses_the_script(version, total):
    assert score(corpus({"a": ["x"], "b": ["y"]}, version), {"a": "x"}).overall.total == total


def test_question_without_gold_is_refused_in_1_1():
    with pytest.raises(ValueError, match=r"1 question without a gold answer.*'b'; score by version 2\.0"):
        score_v1(corpus({"a": ["x"], "b": []}), {})


def test_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="holds no question"):
        score(Corpus((), "1.1"), {})


def test_predictions_for_other_questions_are_refused_in_2_0():
    with pytest.raises(ValueError, match="no question of the corpus has a prediction: check that their ids agree"):
        score_v2(corpus({"a": ["x"]}, "2.0"), {"b": "x"})


def test_prediction_without_probability_is_refused():
    with pytest.raises(ValueError, match="1 prediction without a probability of no answer: 'a'; add it"):
        score_v2(corpus({"a": ["x"]}, "2.0"), {"a": "x"}, no_answer={})


def test_figures_are_plain_data():
    assert json.dumps(score_v1(corpus({"a": ["x"]}), {"a": "x"}).overall.to_json())
