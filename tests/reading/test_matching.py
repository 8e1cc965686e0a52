import math

import numpy as np
import pytest

from modicum.reading.matching import WordWeights, analyse, is_function_word, proximity, question_stems


def test_words_know_their_sentences():
    analysed = analyse("One two. Three!")
    assert [token.text for token in analysed.tokens] == ["One", "two", ".", "Three", "!"]
    assert analysed.sentence.tolist() == [0, 0, 0, 1, 1]
    assert analysed.stems == ("one", "two", "", "three", "")
    assert analysed.span(0, 1) == "One two"


def test_rare_words_weigh_more():
    weights = WordWeights.of(["the cat", "the dog", "the the"])
    assert weights("the") == pytest.approx(math.log(5 / 4))
    assert weights("cat") == pytest.approx(math.log(5 / 2))
    assert weights("never") == pytest.approx(math.log(5))
    assert weights("") == 0


def test_inflected_words_are_in_common():
    weights = WordWeights.of(["x"])
    matched = weights.matched(analyse("Normans conquered, he said."), "Whom did the Norman conquer?")
    assert (matched > 0).tolist() == [True, True, False, False, False, False]


def test_words_that_ask_are_not_looked_for():
    assert question_stems("What did the cats do?") == {"the", "cats"}


def test_proximity_falls_off_on_both_sides():
    near = proximity(np.array([0.0, 0.0, 2.0, 0.0]), reach=1.0)
    assert near == pytest.approx(2 * np.exp([-2.0, -1.0, 0.0, -1.0]))


def test_proximity_without_matches_is_zero():
    assert proximity(np.zeros(3), 2.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("word", "expected"), [("The", True), ("an", True), ("theory", False), ("", False)])
def test_function_words(word, expected):
    assert is_function_word(word) == expected
