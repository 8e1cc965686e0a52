import random

import pytest

from modicum.reading.augmentation.rules import (
    RuleParaphraser,
    contract,
    expand,
    move_clause,
    rewrite_dates,
    rewrite_numbers,
)


class Fixed(random.Random):
    """Always draws the same number."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def random(self):
        return self.value


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("It isn't so.", "It is not so."),
        ("Don't go.", "Do not go."),
        ("They're here and we've won.", "They are here and we have won."),
        ("It\u2019s late.", "It is late."),
        ("He can't.", "He cannot."),
    ],
)
def test_contractions_are_expanded(short, full):
    assert expand(short, Fixed(0)) == full


def test_full_forms_are_contracted():
    assert contract("It is not so. Do not go; he cannot.", Fixed(0)) == "It's not so. Don't go; he can't."


def test_possessives_and_inner_words_stay():
    for sentence in ("John's dog's tail.", "Recent visits notable.", "Island of nothing."):
        assert expand(sentence, Fixed(0)) == sentence
        assert contract(sentence, Fixed(0)) == sentence


@pytest.mark.parametrize(
    ("sentence", "drawn", "expected"),
    [
        ("He had three dogs.", 0.0, "He had 3 dogs."),
        ("He had 3 dogs.", 0.9, "He had three dogs."),
        ("It grew 5%.", 0.0, "It grew 5 percent."),
        ("It grew 5 percent.", 0.9, "It grew 5%."),
        ("All 1,234,567 came.", 0.9, "All 1234567 came."),
        ("In 1974 it cost $5.", 0.9, "In 1974 it cost $5."),
        ("Version 3.5 of 4:30", 0.9, "Version 3.5 of 4:30"),
        ("Twenty-three came.", 0.0, "Twenty-three came."),
        ("The Three Kings", 0.0, "The Three Kings"),
    ],
)
def test_numbers_change_their_form(sentence, drawn, expected):
    assert rewrite_numbers(sentence, Fixed(drawn)) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("On May 3, 1990 it rained.", "On 3 May 1990 it rained."),
        ("On 3 May 1990 it rained.", "On May 3, 1990 it rained."),
        ("In May 1990 it rained.", "In May 1990 it rained."),
    ],
)
def test_dates_change_their_form(sentence, expected):
    assert rewrite_dates(sentence, Fixed(0)) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("In 1066, William won.", "William won in 1066."),
        ("William won, because it rained.", "Because it rained, William won."),
        ("When it rained, the Normans left.", "The Normans left when it rained."),
        ("William, a Norman, won.", "William, a Norman, won."),
        ("He came, saw, won.", "He came, saw, won."),
        ("No comma here.", "No comma here."),
    ],
)
def test_clauses_change_places(sentence, expected):
    assert move_clause(sentence, Fixed(0)) == expected


SENTENCE = "In 1066, the Normans didn't bring three large horses."


def test_paraphrases_are_different_and_never_the_sentence():
    (paraphrases,) = RuleParaphraser(num=20).paraphrase([SENTENCE])
    assert len(paraphrases) > 3
    assert len(set(paraphrases)) == len(paraphrases)
    assert SENTENCE not in paraphrases


def test_paraphrases_do_not_depend_on_the_other_sentences():
    rules = RuleParaphraser()
    assert rules.paraphrase(["It isn't so.", SENTENCE])[1] == rules.paraphrase([SENTENCE])[0]


def test_seed_changes_the_choice():
    assert RuleParaphraser(seed=0).paraphrase([SENTENCE]) != RuleParaphraser(seed=1).paraphrase([SENTENCE])


def test_no_rule_no_paraphrase():
    assert RuleParaphraser().paraphrase(["Horses.", ""]) == [[], []]


def test_synonyms_of_the_user_are_used():
    rules = RuleParaphraser(num=20, synonyms={"big dog": ["hound"], "dog": ["pet"]})
    (paraphrases,) = rules.paraphrase(["Big dogs and a big dog."])
    assert paraphrases == ["Big dogs and a hound."]


def test_synonyms_keep_a_capital():
    (paraphrases,) = RuleParaphraser(num=20, synonyms={"dog": ["pet"]}).paraphrase(["Dog!"])
    assert paraphrases == ["Pet!"]


def test_settings_tell_synonyms_apart():
    assert RuleParaphraser().settings != RuleParaphraser(synonyms={"dog": ["pet"]}).settings


def test_synonyms_without_others_are_refused():
    with pytest.raises(ValueError, match="'dog' has none"):
        RuleParaphraser(synonyms={"dog": []})


def test_no_paraphrases_are_refused():
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        RuleParaphraser(num=0)
