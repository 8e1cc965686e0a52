from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.vocabulary import Vocabulary, count_words, make_vocabulary
from modicum.storage.errors import DataError
from modicum.storage.sealing import write_sealed


def test_frequent_words_come_first_and_rare_ones_not_at_all():
    vocabulary = make_vocabulary(Counter({"b": 2, "cc": 5, "a": 2, "once": 1}), min_words=2, min_characters=3)
    assert vocabulary.words == ("cc", "a", "b")
    assert vocabulary.characters == ("c",)  # ten times in "cc", once in "once"
    assert (vocabulary.num_words, vocabulary.num_characters) == (5, 3)


@given(st.lists(st.lists(st.text(min_size=1), max_size=5), max_size=5))
def test_every_kept_word_has_a_row_of_its_own(texts):
    vocabulary = make_vocabulary(count_words(texts), min_words=1, min_characters=1)
    assert vocabulary.word_rows(vocabulary.words).tolist() == list(range(2, vocabulary.num_words))
    assert set(vocabulary.words) == {word for text in texts for word in text}


def test_words_are_cut_and_padded_to_the_width():
    vocabulary = Vocabulary((), ("a", "b"))
    assert vocabulary.character_rows(["ab", "x", "abab" * 25_000], 3).tolist() == [[2, 3, 0], [1, 0, 0], [2, 3, 2]]


def test_unknown_words_have_row_one():
    assert Vocabulary(("a",), ()).word_rows(["b", "a"]).tolist() == [1, 2]


def test_saved_vocabulary_is_read_again(tmp_path):
    vocabulary = Vocabulary(("the", "né", "'"), ("é", "\u0301"))
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_damaged_vocabulary_is_refused(tmp_path):
    write_sealed(tmp_path / "vocabulary.json", {"words": []})
    with pytest.raises(DataError, match=r"damaged vocabulary: KeyError\('characters'\)"):
        Vocabulary.load(tmp_path / "vocabulary.json")
