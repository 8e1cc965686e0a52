import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.alignment import Span, align, report_alignment
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.squad import read_squad
from modicum.reading.data.tokens import tokenize


def plain_span(tokens, answer):
    """The tokens that share a character with the answer, one by one."""
    touched = [
        n for n, token in enumerate(tokens) if set(range(token.start, token.end)) & set(range(answer.start, answer.end))
    ]
    return (touched[0], touched[-1]) if touched else None


@given(st.data(), st.text(st.characters(categories=["L", "M", "P", "Zs", "N"]), min_size=1))
def test_span_is_that_of_the_tokens_which_share_a_character(data, text):
    start = data.draw(st.integers(0, len(text) - 1))
    answer = Answer(text[start : data.draw(st.integers(start + 1, len(text)))], start)
    tokens = tokenize(text)
    found = align(text, tokens, answer)
    assert (found and tuple(found.span)) == plain_span(tokens, answer)
    assert found is None or answer.text.strip() in found.text


@pytest.mark.parametrize(
    ("text", "answer", "span", "cover", "is_exact", "is_same"),
    [
        ("It is blue.", Answer("blue", 6), (2, 2), "blue", True, True),
        ("It is blue.", Answer(" blue", 5), (2, 2), "blue", True, True),
        ("The Israelis", Answer("Israel", 4), (1, 1), "Israelis", False, False),
        ("in 1973-1974", Answer("1974", 8), (3, 3), "1974", True, True),
        ("the U.S. won", Answer("U.S.", 4), (1, 4), "U.S.", True, True),
        ("made ''it''.", Answer("it'", 7), (2, 3), "it''", False, True),
        ("😀 né en 1900", Answer("1900", 8), (3, 3), "1900", True, True),
    ],
)
def test_covering_tokens(text, answer, span, cover, is_exact, is_same):
    found = align(text, tokenize(text), answer)
    assert (found.span, found.text, found.is_exact, found.is_same) == (Span(*span), cover, is_exact, is_same)


def test_mark_behind_the_answer_is_not_covered():
    assert align("(blue),", tokenize("(blue),"), Answer("blue", 1)).text == "blue"


def test_answer_without_tokens_has_no_span():
    assert align("a  b", tokenize("a  b"), Answer("  ", 1)) is None


def test_report_counts_what_is_lost(ask):
    text = "The Israelis won in 1974"
    report = report_alignment(
        Corpus((Passage(text, (ask(text, "1974", "Israel"), ask(text, "Israel"))),), "1.1"), tokenize
    )
    assert (report.answers, report.exact, report.same) == (3, 1, 1)
    assert (report.oracle_em, report.oracle_f1) == (50, 50)
    assert report.examples == (("Israel", "Israelis"),) * 2


def test_corpus_without_answers_has_no_report():
    corpus = Corpus((Passage("text", (Question("q", "what", (), impossible=True),)),), "2.0")
    with pytest.raises(ValueError, match="no answers to align"):
        report_alignment(corpus, tokenize)


@pytest.mark.data
def test_hardly_an_answer_of_squad_is_lost(real_data):
    report = report_alignment(read_squad(real_data / "squad" / "dev-v1.1.json.gz").corpus, tokenize)
    assert (report.answers, report.exact, report.same) == (34726, 34641, 34641)
    assert report.oracle_em == pytest.approx(99.9905, abs=1e-3)
