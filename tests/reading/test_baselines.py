import pytest

from modicum.reading.baselines import (
    answer_all,
    baselines,
    best_sentence,
    nearest_window,
    overlap,
    random_sentence,
    random_span,
    typed_window,
)
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.matching import WordWeights, analyse

TEXT = (
    "The Normans came from Denmark. In 1066 they conquered England under William. "
    "Their army of 7,000 men won the battle near Hastings because the archers were many."
)
WEIGHTS = WordWeights.of([TEXT, "the army", "they won the war"])
NAMES = list(baselines(WEIGHTS))


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_answers_with_a_piece_of_the_passage(name):
    answer = baselines(WEIGHTS)[name](TEXT, "Who conquered England?")
    assert answer
    assert answer in TEXT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("passage", ["", " \n"])
def test_passage_without_words_has_no_answer(name, passage):
    assert baselines(WEIGHTS)[name](passage, "Who?") == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("question", ["", "???", "zebra"])
def test_question_without_words_in_common_is_answered(name, question):
    assert baselines(WEIGHTS)[name](TEXT, question) in TEXT


@pytest.mark.parametrize("draw", [random_span, random_sentence])
def test_chance_depends_on_both_texts_alone(draw):
    answers = {draw(TEXT, f"question {n}") for n in range(30)}
    assert len(answers) > 2
    assert draw(TEXT, "question 1") == draw(TEXT, "question 1")


def test_random_span_has_at_most_eight_words():
    assert max(len(analyse(random_span(TEXT, str(n))).tokens) for n in range(100)) == 8


def test_sentence_with_most_words_in_common_is_chosen():
    assert best_sentence(TEXT, "Where was the battle won?", WEIGHTS).startswith("Their army")


def test_repeated_word_counts_once_in_a_sentence():
    analysed = analyse("War war war. War won.")
    matched = WEIGHTS.matched(analysed, "war won")
    first, second = overlap(analysed, matched)
    assert first < second


def test_window_is_near_the_words_in_common_without_them():
    assert nearest_window("a b c d e Norman king f g h i j k", "Norman king?", WEIGHTS) in ("c d e", "f g h")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When did they conquer England?", "1066"),
        ("In what year did they conquer England?", "1066"),
        ("How many men were in the army that won the battle?", "7,000"),
        ("Who conquered England?", "William"),
        ("Where did the Normans come from?", "Denmark"),
        ("What conquered England under him?", "William"),
    ],
)
def test_type_asked_for_is_chosen(question, answer):
    assert typed_window(TEXT, question, WEIGHTS) == answer


def test_capitalised_function_word_is_no_name():
    assert typed_window("The dog bit the man. Bob bit the dog.", "Who bit the dog?", WEIGHTS) == "Bob"


def test_answers_go_by_id():
    corpus = Corpus((Passage(TEXT, (Question("a", "Who?", (Answer("William", 69),)),)),), "1.1")
    assert answer_all(lambda passage, question: f"{len(passage)} {question}", corpus) == {"a": f"{len(TEXT)} Who?"}
