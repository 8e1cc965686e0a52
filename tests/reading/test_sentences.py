import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("Really? Yes! Fine", ["Really?", "Yes!", "Fine"]),
        ("Dr. Who met J. R. R. Tolkien. Then left.", ["Dr. Who met J. R. R. Tolkien.", "Then left."]),
        ("The U.S. Army won. It did.", ["The U.S. Army won.", "It did."]),
        ("It cost 3.5 dollars. Cheap.", ["It cost 3.5 dollars.", "Cheap."]),
        ("He went, e.g. to Rome, i.e. away.", ["He went, e.g. to Rome, i.e. away."]),
        ("By Warner Bros. Presents it aired.", ["By Warner Bros. Presents it aired."]),
        ("About approx. five went on.", ["About approx. five went on."]),
        ('She said "Go." He went.', ['She said "Go."', "He went."]),
        ('He left. "Why?" she asked.', ["He left.", '"Why?" she asked.']),
        ("So it was.[12] Then it ended.", ["So it was.[12]", "Then it ended."]),
        ("It began in 1990. 25 people came.", ["It began in 1990.", "25 people came."]),
        ("Heading\n\nText here.", ["Heading", "Text here."]),
        ("Heading\n \t\n\n  text here.", ["Heading", "text here."]),
        ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
        ("One line\nand the next.", ["One line\nand the next."]),
        ("\u4ed6\u8d70\u4e86\u3002\u5979\u6765\u4e86\u3002", ["\u4ed6\u8d70\u4e86\u3002", "\u5979\u6765\u4e86\u3002"]),
        ("  blanks around.  ", ["blanks around."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert [sentence.text for sentence in split_sentences(text)] == sentences


@given(st.text(st.sampled_from("aB1 .!?\n\"')\u3002"), max_size=40))
def test_sentences_hold_all_that_is_not_blank(text):
    sentences = split_sentences(text)
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in sentences)
    assert "".join("".join(sentence.text for sentence in sentences).split()) == "".join(text.split())
    assert [sentence.start for sentence in sentences] == sorted(sentence.start for sentence in sentences)


@pytest.mark.parametrize("repeated", [".", "\n", " ", ".)", "\n ", "[1]", ". ", "a.", "x"])
def test_long_repetitions_take_linear_time(repeated):
    begin = time.process_time()
    split_sentences(repeated * 100_000)
    assert time.process_time() - begin < 5  # quadratic time would be minutes
