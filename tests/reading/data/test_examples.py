import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.alignment import Span
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.examples import crop_at_random, reading_examples, training_examples
from modicum.reading.data.squad import read_squad
from modicum.reading.data.tokens import tokenize
from modicum.reading.recipe import TextOptions

SHORT = TextOptions(passage_tokens=6, question_tokens=4, answer_tokens=2, stride=2, batch_tokens=6)


def learnt(corpus, options=SHORT):
    return training_examples(corpus, tokenize, options)


def test_span_of_an_example_is_the_answer(one_passage):
    (example,), left_out = learnt(one_passage("The sky is bright blue.", "bright blue"))
    assert (example.words, example.question) == (["The", "sky", "is", "bright", "blue", "."], ("What", "is", "it", "?"))
    assert (example.span, example.text(example.span)) == (Span(3, 4), "bright blue")
    assert left_out == {}


def test_answer_that_most_annotators_gave_is_learnt(one_passage):
    (example,), _ = learnt(one_passage("The sky is bright blue.", "blue", "bright blue", "bright blue", "sky"))
    assert example.text(example.span) == "bright blue"


def test_long_passage_is_cut_to_the_window_around_the_answer(one_passage):
    text = " ".join(f"w{n}" for n in range(20))
    (example,), _ = learnt(one_passage(text, "w9 w10"))
    assert example.window == range(6, 12)
    assert (example.span, example.text(example.span)) == (Span(3, 4), "w9 w10")
    assert example.characters(example.span) == (text.index("w9"), text.index("w10") + 3)


@given(place=st.integers(0, 18), seed=st.integers(0, 99))
def test_random_window_shows_the_whole_answer_and_lies_in_the_passage(place, seed):
    text = " ".join(f"w{n}" for n in range(20))
    answer = f"w{place} w{place + 1}"
    question = Question("q", "What is it?", (Answer(answer, text.index(answer)),))
    (example,), _ = learnt(Corpus((Passage(text, (question,)),), "1.1"))

    found = crop_at_random(example, 6, np.random.default_rng(seed))

    assert 0 <= found.window.start <= found.window.stop - 6 <= 14
    assert found.text(found.span) == answer


def test_random_windows_begin_wherever_the_answer_stays_whole(one_passage):
    (example,), _ = learnt(one_passage(" ".join(f"w{n}" for n in range(20)), "w9 w10"))
    rng = np.random.default_rng(0)
    assert {crop_at_random(example, 6, rng).window.start for _ in range(99)} == {5, 6, 7, 8, 9}


def test_random_window_of_an_impossible_question_is_anywhere(one_passage):
    (example,), _ = learnt(one_passage("a b c d e f g h", impossible=True))
    rng = np.random.default_rng(0)
    assert {crop_at_random(example, 6, rng).window for _ in range(50)} == {range(0, 6), range(1, 7), range(2, 8)}


def test_passage_that_fits_stays_whole(one_passage):
    (example,), _ = learnt(one_passage("The sky is blue.", "blue"))
    assert crop_at_random(example, 6, np.random.default_rng(0)) is example


@pytest.mark.parametrize(
    ("text", "answer", "question", "reason"),
    [
        ("The Israelis won", "Israel", "Who?", "answer that begins or ends inside a word"),
        ("a b c d", "a b c", "Who?", "answer of over 2 tokens"),
        ("a b c d", "a", "Who is it, then?", "question of over 4 tokens"),
    ],
)
def test_what_cannot_be_learnt_is_counted(text, answer, question, reason):
    corpus = Corpus((Passage(text, (Question("q", question, (Answer(answer, text.index(answer)),)),)),), "1.1")
    assert learnt(corpus) == ((), {reason: 1})


def test_answer_longer_than_a_window_is_counted(one_passage):
    options = TextOptions(passage_tokens=3, stride=1, batch_tokens=3)
    assert learnt(one_passage("a b c d e f", "b c d e"), options) == ((), {"answer longer than a window": 1})


def test_question_without_an_answer_is_counted(one_passage):
    assert learnt(one_passage("a b c")) == ((), {"question without an answer": 1})


def test_repeated_answers_can_be_left_out(one_passage):
    corpus = one_passage("blue or blue", "blue")
    unique = TextOptions(unique_answers=True)
    assert len(learnt(corpus).examples) == 1
    assert learnt(corpus, unique) == ((), {"answer that occurs several times": 1})


def test_impossible_question_is_learnt_without_a_span(one_passage):
    (example,), _ = learnt(one_passage("a b c d e f g h", impossible=True))
    assert (example.span, example.impossible, example.window) == (None, True, range(6))


def test_reading_leaves_no_window_and_no_question_out():
    text = " ".join("abcdefghij")
    corpus = Corpus((Passage(text, (Question("q", "a question of more than four words", ()),)),), "1.1")
    examples = list(reading_examples(corpus, tokenize, SHORT))
    assert [example.window for example in examples] == [range(0, 6), range(2, 8), range(4, 10)]
    assert {(example.question, example.span) for example in examples} == {(("a", "question", "of", "more"), None)}


def test_passage_is_tokenised_once_for_all_of_its_questions():
    questions = tuple(Question(name, "What?", (Answer("a", 0),)) for name in "pq")
    examples, _ = learnt(Corpus((Passage("a b", questions),), "1.1"))
    assert examples[0].passage is examples[1].passage


@pytest.mark.parametrize(
    ("text", "question", "message"),
    [(" \x00", "What?", r"the passage ' \\x00' has no words"), ("text", "\x00 ", r"question 'q' has no words")],
)
def test_texts_without_words_are_refused(text, question, message):
    corpus = Corpus((Passage(text, (Question("q", question, ()),)),), "1.1")
    with pytest.raises(ValueError, match=message):
        list(reading_examples(corpus, tokenize, SHORT))


@pytest.mark.data
def test_hardly_a_question_of_squad_is_left_out(real_data):
    corpus = read_squad(real_data / "squad" / "dev-v1.1.json.gz").corpus
    examples, left_out = learnt(corpus, TextOptions())
    assert len(examples) == 10_566
    assert left_out == {"answer of over 30 tokens": 3, "answer that begins or ends inside a word": 1}
