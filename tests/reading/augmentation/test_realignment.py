from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.augmentation.realignment import realign, similarity
from modicum.reading.data.corpus import Answer


def answer_in(sentence, text):
    return Answer(text, sentence.index(text))


def found(sentence, text, paraphrase):
    result = realign(answer_in(sentence, text), sentence, paraphrase)
    return None if result is None else result.answer.text


def plain_similarity(first, second):
    pairs = [["".join(pair) for pair in pairwise(f"^{text.lower()}$")] for text in (first, second)]
    rest = list(pairs[1])
    shared = sum(1 for pair in pairs[0] if pair in rest and (rest.remove(pair) or True))
    return 2 * shared / (len(pairs[0]) + len(pairs[1]))


@given(st.text("abA", max_size=8), st.text("abA", max_size=8))
def test_similarity_is_dice_over_multisets_of_bigrams(first, second):
    assert similarity(first, second) == pytest.approx(plain_similarity(first, second))


def test_similarity_counts_both_ends_of_a_word():
    assert similarity("cat", "cats") == pytest.approx(2 * 3 / 9)  # ^c ca at | t$ against ts s$


SENTENCE = "In 1066 the Normans conquered England, led by William of Normandy."


@pytest.mark.parametrize(
    ("answer", "paraphrase", "expected"),
    [
        ("the Normans", "In 1066, England was conquered by the Normans under William.", "the Normans"),
        ("the Normans", "In 1066 the Norman conquered England.", "the Norman"),
        ("1066", "Led by William, they came in 1066.", "1066"),
        ("William of Normandy", "William of Normandy, who led them, conquered England.", "William of Normandy"),
        ("William of Normandy", "It was William, of Normandy, who led.", "William, of Normandy"),
        ("England", "ENGLAND was conquered in 1066.", "ENGLAND"),
    ],
)
def test_answer_is_found_again(answer, paraphrase, expected):
    assert found(SENTENCE, answer, paraphrase) == expected


def test_offset_is_that_of_the_span():
    paraphrase = "Led by William of Normandy, they came in 1066."
    result = realign(answer_in(SENTENCE, "1066"), SENTENCE, paraphrase)
    assert paraphrase[result.answer.start : result.answer.end] == "1066"


def test_unchanged_answer_at_its_place_scores_one():
    assert realign(answer_in(SENTENCE, "the Normans"), SENTENCE, SENTENCE).score == pytest.approx(1)


def test_moving_costs_its_share_of_the_sentence():
    result = realign(Answer("one", 4), "two one four three", "four three two one four")
    assert result.score == pytest.approx(1 - 0.02 * (3 / 5 - 1 / 4))


def test_other_neighbours_cost_as_far_as_they_are_unlike():
    result = realign(Answer("one", 4), "two one four", "six one fours")
    expected = 1 - 0.02 * (1 - similarity("six", "two")) - 0.02 * (1 - similarity("fours", "four"))
    assert result.score == pytest.approx(expected)


def test_of_equal_words_in_clauses_that_moved_the_one_with_the_neighbours_is_chosen():
    sentence = "While Chinese primary schools stayed, Chinese secondary schools changed."
    paraphrase = "Chinese secondary schools changed, while Chinese primary schools stayed."
    assert realign(Answer("Chinese", 6), sentence, paraphrase).answer.start == paraphrase.rindex("Chinese")


def test_score_is_the_formula():
    """Words "the" and "Norman" against "the" and "Normans"; no shift."""
    result = realign(Answer("the Normans", 0), "the Normans came", "the Norman came")
    expected = 0.25 * (1 + similarity("Norman", "Normans")) + 0.5 * similarity("the Norman", "the Normans")
    assert result.score == pytest.approx(expected)


def test_of_equal_words_the_one_at_the_same_place_is_chosen():
    sentence = "red apples and red pears and red plums"
    result = realign(Answer("red", 15), sentence, "red apples or red pears or red plums")
    assert result.answer.start == 14


def test_synonym_is_rejected():
    assert found("The car stopped.", "car", "The vehicle stopped.") is None


def test_words_around_the_answer_are_no_answer():
    """Alone, "Lower House" is like enough to be accepted."""
    sentence = "The Lower House outvoted the Upper House."
    assert found(sentence, "Upper House", "The Lower House outvoted the Senate.") is None


def test_repeated_answer_may_stand_elsewhere():
    assert found("Rome is Rome.", "Rome", "Rome stays.") == "Rome"


def test_threshold_rejects():
    sentence = "the Norman came"
    assert realign(Answer("Norman", 4), sentence, "the Normans came", min_score=0.7) is not None
    assert realign(Answer("Norman", 4), sentence, "the Normans came", min_score=0.9) is None


def test_span_has_at_most_four_words_more():
    result = realign(Answer("a z", 0), "a z", "a 1 2 3 4 z 5")
    assert result.answer.text == "a 1 2 3 4 z"
    assert found("a z", "a z", "a 1 2 3 4 5 z 6") != "a 1 2 3 4 5 z"


@pytest.mark.parametrize("paraphrase", ["", " "])
def test_no_words_no_answer(paraphrase):
    assert realign(Answer("x", 0), "x y", paraphrase) is None


def test_wrong_offset_is_refused():
    with pytest.raises(ValueError, match="answer 'Normans' must stand at character 3 of its sentence 'the Normans'"):
        realign(Answer("Normans", 3), "the Normans", "the Normans")
