import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.augmentation.augment import augment, join
from modicum.reading.augmentation.paraphrasing import BackTranslator
from modicum.reading.augmentation.pieces import Piece, join_pieces, split_passage
from modicum.reading.augmentation.rearrangement import Rearrangement
from modicum.reading.augmentation.rules import RuleParaphraser
from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.squad import read_squad, write_squad

TEXT = "The cat sat on a mat. It was black! Dogs ran home, and cats slept."


def passage(*answers, text=TEXT, title="", origin=None):
    questions = tuple(
        Question(f"q{n}", f"question {n}?", tuple(Answer(a, text.index(a)) for a in golds))
        for n, golds in enumerate(answers)
    )
    return Passage(text, questions, title, origin)


def corpus(*passages, version="1.1"):
    return Corpus(passages, version)


def test_pieces_are_sentences_with_their_answers():
    pieces = split_passage(passage(["cat", "mat"], ["black"]))
    assert [piece.text for piece in pieces] == [
        "The cat sat on a mat.",
        "It was black!",
        "Dogs ran home, and cats slept.",
    ]
    assert [[mark.answer for mark in piece.marks] for piece in pieces] == [
        [Answer("cat", 4), Answer("mat", 17)],
        [Answer("black", 7)],
        [],
    ]


def test_answer_over_two_sentences_keeps_them_together():
    pieces = split_passage(passage(["mat. It was"]))
    assert [piece.text for piece in pieces] == ["The cat sat on a mat. It was black!", "Dogs ran home, and cats slept."]


@given(st.text("aB. \n!", min_size=1, max_size=40), st.data())
def test_split_passage_joins_to_itself(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    answer = Answer(text[start:end], start)
    original = Passage(text, (Question("q", "?", (answer,)),))
    joined, found = join_pieces(split_passage(original), original.questions)
    assert joined == text.strip()
    if answer.text.strip() == answer.text:
        assert [joined[m.answer.start : m.answer.end] for m in found[0]] == [answer.text]


def test_answers_are_found_in_the_paraphrase(word_paraphraser):
    made = augment(corpus(passage(["mat"], ["black"])), word_paraphraser(cat="small grey kitten", It="This one"))
    (result,) = made.corpus.passages
    assert result.text == "The small grey kitten sat on a mat. This one was black! Dogs ran home, and cats slept."
    assert [q.answers for q in result.questions] == [
        (Answer("mat", result.text.index("mat")),),
        (Answer("black", result.text.index("black")),),
    ]


def test_questions_keep_their_text_and_get_new_ids(word_paraphraser):
    made = augment(corpus(passage(["mat"])), word_paraphraser(cat="kitten"), seed=3)
    (question,) = made.corpus.passages[0].questions
    assert (question.id, question.text) == ("q0#words-3", "question 0?")


def test_origin_tells_source_method_and_score(word_paraphraser):
    (result,) = augment(corpus(passage(["mat"], title="Cats")), word_paraphraser(cat="kitten")).corpus.passages
    assert result.origin == Origin("words", "dictionary", 1.0)
    assert result.title == "Cats"


def test_lost_answer_costs_its_question_and_is_counted(word_paraphraser):
    made = augment(corpus(passage(["cat"], ["mat", "cat"])), word_paraphraser(cat="tiger"))
    (question,) = made.corpus.passages[0].questions
    assert (question.id, [answer.text for answer in question.answers]) == ("q1#words-0", ["mat"])
    assert (made.losses.lost_questions, made.losses.lost_answers) == (1, 2)


def test_passage_without_questions_left_is_left_out(word_paraphraser):
    made = augment(corpus(passage(["cat"])), word_paraphraser(cat="tiger"))
    assert made.corpus.passages == ()
    assert made.losses.lost_questions == 1


def test_impossible_questions_stay(word_paraphraser):
    made = augment(corpus(passage([]), version="2.0"), word_paraphraser(cat="tiger"))
    assert made.corpus.passages[0].questions[0].answers == ()
    assert made.corpus.version == "2.0"


def test_unchanged_passage_is_left_out_and_counted(word_paraphraser):
    made = augment(corpus(passage(["mat"])), word_paraphraser(horse="cow"))
    assert made.corpus.passages == ()
    assert made.losses.unchanged_passages == 1


def test_augmented_passages_are_not_augmented_again(word_paraphraser):
    made = augment(corpus(passage(["mat"], origin=Origin("fr", "x", 1.0))), word_paraphraser(cat="kitten"))
    assert made.corpus.passages == ()


def test_all_sentences_are_asked_for_at_once(word_paraphraser):
    paraphraser = word_paraphraser(cat="kitten")
    augment(corpus(passage(["mat"]), passage(["black"])), paraphraser)
    assert len(paraphraser.asked) == 1
    assert len(paraphraser.asked[0]) == 3


def test_result_does_not_depend_on_the_place_in_the_corpus():
    first, second = passage(["mat"], text=TEXT + " He didn't go, because it rained."), passage(["black"])
    alone = augment(corpus(first), RuleParaphraser(num=20)).corpus.passages
    together = augment(corpus(second, first), RuleParaphraser(num=20)).corpus.passages
    assert alone[0] in together


def test_seeds_draw_differently():
    one = corpus(passage(["mat"], text=TEXT + " In 1990, the three cats didn't eat, and 4 dogs weren't there."))
    assert len({augment(one, RuleParaphraser(num=50), seed=seed).corpus.passages[0].text for seed in range(8)}) > 1


def test_noisy_back_translation_finds_answers_or_loses_them_but_never_mistakes_them(dict_translator):
    words = [f"{a}{b}" for a in ("stone", "river", "cloud", "horse", "tower") for b in ("wick", "ham", "ford", "dale")]
    rng = random.Random(0)
    texts = [" ".join(rng.sample(words, 12)) for _ in range(40)]
    questions = [Question(text, "?", (Answer(text.split()[5], text.index(text.split()[5])),)) for text in texts]
    originals = corpus(*(Passage(text, (question,)) for text, question in zip(texts, questions, strict=True)))
    there, back = (dict_translator(lambda word: word[::-1], 0.03, seed) for seed in (1, 2))
    made = augment(originals, BackTranslator(there, back, pivot="xx"))
    found = {asked.question.id.split("#")[0]: asked.question.answers[0] for asked in made.corpus.asked()}
    assert 25 < len(found) < 40
    assert len(found) + made.losses.lost_questions + made.losses.unchanged_passages == 40
    assert all(answer.text == text.split()[5] for text, answer in found.items())


def test_augmented_corpus_survives_its_file(tmp_path, word_paraphraser):
    made = augment(corpus(passage(["mat"], ["black"], title="Cats")), word_paraphraser(cat="kitten")).corpus
    write_squad(tmp_path / "augmented.json", made)
    assert '"aug"' in (tmp_path / "augmented.json").read_text()
    assert read_squad(tmp_path / "augmented.json").corpus == made


def test_joined_corpus_holds_both(word_paraphraser):
    original = corpus(passage(["mat"]))
    both = join([original, augment(original, word_paraphraser(cat="kitten")).corpus])
    assert [asked.question.id for asked in both.asked()] == ["q0", "q0#words-0"]


def test_joining_equal_ids_is_refused():
    with pytest.raises(ValueError, match=r"1 question ids occur twice, e\.g\. 'q0': augment with another seed"):
        join([corpus(passage(["mat"])), corpus(passage(["black"]))])


def test_joining_nothing_is_refused():
    with pytest.raises(ValueError, match="no corpus to join"):
        join([])


PIECES = split_passage(passage(["mat"]))


def test_sentences_with_answers_are_never_dropped():
    kept = Rearrangement(dropped=1.0).apply(PIECES, [], random.Random(0))
    assert [piece.text for piece in kept] == ["The cat sat on a mat."]


def test_one_sentence_stays_where_none_has_an_answer():
    assert Rearrangement(dropped=1.0).apply([Piece("A."), Piece("B.")], [], random.Random(0)) == [Piece("A.")]


def test_sentences_change_their_order():
    orders = {tuple(Rearrangement(shuffled=1.0).apply(PIECES, [], random.Random(seed))) for seed in range(20)}
    assert len(orders) == 6


def test_sentences_of_others_are_put_in():
    pieces = Rearrangement(inserted=1.0).apply(PIECES, ["Stranger."], random.Random(0))
    assert [piece.text for piece in pieces][::2] == ["Stranger."] * 3


def test_no_rearrangement_changes_nothing():
    assert Rearrangement().apply(PIECES, ["Stranger."], random.Random(0)) == PIECES


def test_answers_are_right_after_every_rearrangement(word_paraphraser):
    others = passage(["x"], text="Nothing here has x. A stranger came.", title="Other")
    pair = corpus(passage(["mat"], ["black"], title="Cats"), others)
    for seed in range(10):
        made = augment(pair, word_paraphraser(), rearrangement=Rearrangement(1.0, 0.5, 0.5), seed=seed).corpus
        assert all(p.text[a.start : a.end] == a.text for p in made.passages for q in p.questions for a in q.answers)


def test_no_sentence_with_an_answer_comes_from_elsewhere(word_paraphraser):
    others = Passage("The mat is red. A stranger came.", (Question("x", "?", (Answer("red", 11),)),), "Other")
    pair = corpus(passage(["mat"], title="Cats"), others)
    made = [augment(pair, word_paraphraser(), rearrangement=Rearrangement(inserted=1.0), seed=s) for s in range(10)]
    texts = [p.text for m in made for p in m.corpus.passages if p.title == "Cats"]
    assert any("A stranger came." in text for text in texts)
    assert not any("The mat is red." in text for text in texts)


@pytest.mark.parametrize("name", ["shuffled", "dropped", "inserted"])
def test_probabilities_outside_the_range_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be a probability in \[0, 1\], got 1.5"):
        Rearrangement(**{name: 1.5})
