import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.tokens import (
    SpacyTokenizer,
    split_characters,
    tokenize,
    tokenize_as_first,
    tokenize_characters,
    tokenizer,
)
from modicum.storage.errors import MissingExtraError


def words(text):
    return [token.text for token in tokenize(text)]


def is_blank(character):
    return character.isspace() or unicodedata.category(character) == "Cc"


RULES = pytest.mark.parametrize("rules", [tokenize, tokenize_characters, tokenize_as_first])


@RULES
@given(text=st.text())
def test_each_token_is_what_stands_at_its_place(rules, text):
    assert all(token.text == text[token.start : token.end] != "" for token in rules(text))


@RULES
@given(text=st.text())
def test_tokens_are_in_order_and_leave_out_blanks_alone(rules, text):
    end = 0
    for token in rules(text):
        assert all(map(is_blank, text[end : token.start]))
        assert not any(map(is_blank, token.text))
        end = token.end
    assert all(map(is_blank, text[end:]))


@given(st.text(), st.text())
def test_a_line_end_parts_texts(first, second):
    shift = len(first) + 1
    moved = [token._replace(start=token.start + shift, end=token.end + shift) for token in tokenize(second)]
    assert tokenize(f"{first}\n{second}") == tokenize(first) + moved


def test_contractions_split_as_in_the_penn_treebank():
    assert words("It isn't John's; they'll say WE'VE can\u2019t, I'd") == (
        ["It", "is", "n't", "John", "'s", ";", "they", "'ll", "say", "WE", "'VE", "ca", "n\u2019t", ",", "I", "'d"]
    )


def test_other_apostrophes_stand_alone():
    assert words("rock'n'roll 'self' ain'tx n't") == (
        ["rock", "'", "n", "'", "roll", "'", "self", "'", "ain", "'", "tx", "n't"]
    )


def test_decimals_stay_whole_and_hyphens_part():
    assert words("$3.14, 1,000.5 in 1973-74. 2.") == [
        "$",
        "3.14",
        ",",
        "1,000.5",
        "in",
        "1973",
        "-",
        "74",
        ".",
        "2",
        ".",
    ]


def test_doubled_quotation_marks_are_one_token_of_their_length():
    assert tokenize("``a''") == [("``", 0, 2), ("a", 2, 3), ("''", 3, 5)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में क्या है", ["हिन्दी", "में", "क्या", "है"]),
        ("我住東京タワー。", ["我", "住", "東", "京", "タ", "ワ", "ー", "。"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001  Persian letters
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("Straße №5", ["Straße", "№", "5"]),
        ("1800년에 민수가", ["1800", "년", "에", "민", "수", "가"]),
        ("BTS는", ["BTS", "는"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["\u1112\u1161\u11ab", "\u1100\u1173\u11af"]),
        ("ㄅㄆ བོད", ["ㄅ", "ㄆ", "བོ", "ད"]),
    ],
    ids=[
        "Devanagari",
        "Han and Kana",
        "Thai",
        "Persian",
        "combining accents",
        "Latin",
        "Hangul",
        "Hangul behind Latin",
        "decomposed Hangul",
        "Bopomofo and Tibetan",
    ],
)
def test_scripts(text, expected):
    assert words(text) == expected


def test_offsets_count_code_points():
    assert tokenize("😀 né")[1] == ("né", 2, 4)


def test_control_characters_part_words():
    assert words("a\x00b\x1fc\x85d\x7fe") == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("unit", ["x", "n't", "n'", "1,", "a\u0301", "\u0301", "''", "\x00"])
def test_no_text_is_slow(unit):
    text = unit * (100_000 // len(unit))
    started = time.perf_counter()
    tokenize(text)
    assert time.perf_counter() - started < 10  # linear rules take half a second at most; quadratic ones take minutes


def test_rules_are_chosen_by_name():
    assert tokenizer("script") is tokenize
    assert tokenizer("characters") is tokenize_characters
    assert tokenizer("regex") is tokenize_as_first


def test_rules_of_earlier_runs_cut_as_they_did():
    assert [token.text for token in tokenize_as_first("민수가 1800년에 我是 don't")] == (
        ["민수가", "1800년에", "我", "是", "do", "n't"]
    )


@given(st.text())
def test_any_answer_begins_and_ends_where_characters_do(text):
    starts = [token.start for token in tokenize_characters(text)]
    marks = [place for place, sign in enumerate(text) if unicodedata.category(sign)[0] == "M" or sign in "\u200c\u200d"]
    places = {place for place, sign in enumerate(text) if not is_blank(sign)}
    assert places - set(marks) - {place for place in places if "\u1160" <= text[place] <= "\u11ff"} <= set(starts)


@given(st.text())
def test_parting_a_word_leaves_nothing_out(word):
    assert "".join(split_characters(word)) == word


def test_spacy_gives_the_same_kind_of_tokens():
    pytest.importorskip("spacy")
    text = "It isn't  3.14\nhere."
    tokens = tokenizer("spacy")(text)
    assert [token.text for token in tokens] == ["It", "is", "n't", "3.14", "here", "."]
    assert all(text[token.start : token.end] == token.text for token in tokens)


def test_without_spacy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"spaCy is not installed; .* run: pip install -e '\.\[spacy\]'"):
        SpacyTokenizer()
