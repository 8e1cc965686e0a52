import json
import math

import pytest
import torch

from modicum.prediction import Failure
from modicum.reading.answering import Reader
from modicum.reading.asking import Ask
from modicum.reading.data.batches import Collator
from modicum.reading.data.tokens import tokenize
from modicum.reading.data.vectors import HashedVectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.inputs import MASKED, Logits
from modicum.reading.predictor import Predictor
from modicum.reading.recipe import TextOptions
from modicum.storage.errors import DataError

TEXT = "Bako is red. Miru is blue."
NO_ANSWER = 1.0  # logit


def point_behind_the_match(inputs):
    """The word two behind the last one that the question has, too."""
    length = inputs.passage.shape[1]
    places = torch.arange(length, dtype=torch.float32)
    last = (inputs.match * (places + 1)).amax(1, keepdim=True) - 1
    logits = -(places - last - 2).abs() + 2 * (last >= 0)
    return Logits(*(logits.masked_fill(inputs.passage == 0, MASKED) for _ in range(2)))


def may_refuse(inputs):
    logits = point_behind_the_match(inputs)
    return Logits(*(torch.nn.functional.pad(each, (1, 0), value=NO_ANSWER) for each in logits))


def predictor(logits=point_behind_the_match, *, n_best=1, margin=0.0, **text):
    collator = Collator(Vocabulary((), ()), HashedVectors(4), 5, logits is may_refuse)
    options = TextOptions(**{"answer_tokens": 2, **text})
    return Predictor(Reader(logits, collator, options.answer_tokens, n_best), tokenize, options, margin=margin)


def test_answer_is_a_piece_of_the_text_with_its_place():
    reply = predictor()((TEXT, "What about Miru ?"))
    assert (reply.text, reply.start, reply.end) == ("blue", 21, 25)
    assert TEXT[reply.start : reply.end] == reply.text
    assert 0 < reply.probability <= 1
    assert reply.no_answer is None


def test_answers_about_one_text_are_in_the_order_of_the_questions():
    assert [reply.text for reply in predictor().ask(TEXT, "Bako ?", "Miru ?", "Bako ?")] == ["red", "blue", "red"]


def test_names_are_ids_or_places():
    replies = list(predictor().predict_all([(TEXT, "Bako ?"), Ask(TEXT, "Miru ?", "7")]))
    assert [reply.name for reply in replies] == ["question 1", "7"]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [(("\x00 ", "Who?"), "the passage '\\x00 ' has no words"), ((TEXT, " \n"), "question 'question 2' has no words")],
)
def test_what_has_no_words_costs_only_itself(ask, reason):
    results = list(predictor().predict_all([(TEXT, "Bako ?"), ask, Failure("line 3", "no JSON"), (TEXT, "Miru ?")]))
    assert [getattr(result, "text", None) for result in results] == ["red", None, None, "blue"]
    assert results[1].reason.startswith(reason)
    assert results[2] == Failure("line 3", "no JSON")


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (None, "must be a passage and a question, two texts, got a NoneType"),
        ("ab", "must be a passage and a question, two texts, got a str"),
        ((TEXT, None), "the question must be a text, got a NoneType"),
        ((math.nan, "Who?"), "the passage must be a text, got a float"),
        ((b"bytes", "Who?"), "the passage must be a text, got a bytes"),
        (("", "Who?"), "the passage '' has no words"),
        (("\0", "Who?"), "the passage '\\x00' has no words"),
        (("x" * 10_000_001, "Who?"), "the passage has 10,000,001 characters, at most 10,000,000 can be read"),
    ],
)
def test_what_is_no_question_costs_only_itself(ask, reason):
    first, failure, last = predictor().predict_all([(TEXT, "Bako ?"), ask, (TEXT, "Miru ?")])
    assert (first.text, last.text) == ("red", "blue")
    assert failure.reason.startswith(reason)


def test_long_texts_are_not_answered_together(monkeypatch):
    monkeypatch.setattr("modicum.reading.predictor.LONGEST_TEXT", len(TEXT))
    together = []
    tool = predictor()
    find = tool.reader.find
    object.__setattr__(tool.reader, "find", lambda windows: together.append(len(windows)) or find(windows))
    assert [reply.text for reply in tool.predict_all([(TEXT, "Bako ?"), (TEXT, "Miru ?")])] == ["red", "blue"]
    assert together == [1, 1]


def test_what_a_terminal_would_obey_is_escaped_in_the_line_of_an_answer():
    reply = predictor(answer_tokens=9)(("Bako is \x9b31mred \u202e or", "Bako \udc80\x1b[2J ?"))
    assert str(reply).isprintable()
    assert "\\x1b[2J" in str(reply)
    str(reply).encode()
    assert reply.question == "Bako \ufffd\x1b[2J ?"


def test_single_question_without_words_is_an_error():
    with pytest.raises(DataError, match="question 1: not read: question 'question 1' has no words: ask something"):
        predictor()((TEXT, "  "))
    with pytest.raises(DataError, match="the passage '' has no words"):
        predictor().ask("", "Who?")


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_answers_do_not_depend_on_what_is_asked_together(chunk):
    asks = [(TEXT, "Bako ?"), ("Zed is old.", "Zed ?"), (TEXT, "Miru ?")]
    assert [reply.text for reply in predictor().predict_all(asks, chunk=chunk)] == ["red", "old", "blue"]


def test_questions_are_read_as_they_are_needed():
    read = []

    def asks():
        for number in range(3):
            read.append(number)
            yield TEXT, "Bako ?"

    replies = predictor().predict_all(asks(), chunk=1)
    next(replies)
    assert read == [0]


def test_long_text_is_read_in_windows():
    text = " ".join(f"x{number} ," for number in range(40)) + " Miru is blue . " + "y . " * 40
    reply = predictor(passage_tokens=10, stride=5)((text, "Miru ?"))
    assert reply.text == "blue"
    assert text[reply.start : reply.end] == "blue"


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [("Бако есть красный.", "Бако?", "красный"), ("ﬁ is 😀 here", "ﬁ ?", "😀"), ("美 是 花", "美 ?", "花")],
)
def test_places_are_code_points_in_any_script(text, question, answer):
    reply = predictor(answer_tokens=1)((text, question))
    assert reply.text == text[reply.start : reply.end] == answer


def test_no_answer_is_given_unless_an_answer_beats_it_by_the_margin():
    asked = (TEXT, "Miru ?")  # its best span beats "no answer" by 2
    assert predictor(may_refuse, margin=1.9)(asked).text == "blue"
    refused = predictor(may_refuse, margin=2.0)(asked)
    assert (refused.text, refused.start, refused.end) == ("", None, None)
    assert refused.probability == refused.no_answer
    assert refused.candidates[0].text == "blue"


def test_candidates_are_given_where_several_are_asked_for():
    one, several = predictor()((TEXT, "Miru ?")), predictor(n_best=3)((TEXT, "Miru ?"))
    assert "candidates" not in one.to_json()
    plain = json.loads(json.dumps(several.to_json()))
    assert plain["candidates"][0]["text"] == plain["text"] == one.text
    assert len(plain["candidates"]) == 3
    assert str(several).count("\n") == 2


def test_line_of_an_answer_is_one_line():
    reply = predictor(answer_tokens=3)(("Bako is\nred or", "Bako ?"))
    assert "\n" not in str(reply)
    assert "(no answer)" in str(predictor(may_refuse, margin=9)((TEXT, "Miru ?")))
