import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from modicum.datasets.splits import Splits
from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.splits import choose, divide, paraphrases_of, splits_of
from modicum.storage.errors import DataError


def corpus(*passages, prefix="q", version="1.1"):
    """A corpus of passages, each given as text and title, with one question each."""
    return Corpus(
        tuple(
            Passage(text, (Question(f"{prefix}{n}", "What?", (Answer(text[0], 0),)),), title)
            for n, (text, title) in enumerate(passages)
        ),
        version,
    )


def articles(found):
    return {passage.title or passage.text for passage in found.passages}


many = [(f"text {n}", f"title {n // 3}") for n in range(60)]
contents = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=30, max_size=60)


@given(contents, st.integers(0, 3))
def test_parts_are_disjoint_and_articles_and_copies_stay_together(contents, seed):
    given_corpus = corpus(*((f"text {text}", f"title {title}" if title > 6 else "") for text, title in contents))
    try:
        parts = divide({"train": given_corpus}, seed=seed)
    except DataError:
        reject()  # all articles may be tied by common passages
    assert sum(part.num_questions for part in parts) == given_corpus.num_questions
    for key in (lambda passage: passage.text, lambda passage: passage.title or passage.text):
        seen = [{key(passage) for passage in part.passages} for part in parts]
        assert len(set().union(*seen)) == sum(map(len, seen))


def test_shares_are_of_articles():
    parts = divide({"train": corpus(*many)}, calibration=0.1, test=0.25)
    assert [len(articles(part)) for part in parts] == [13, 2, 5]


def test_parts_are_a_function_of_the_seed():
    assert divide({"train": corpus(*many)}, seed=1) == divide({"train": corpus(*many)}, seed=1)
    assert divide({"train": corpus(*many)}, seed=1) != divide({"train": corpus(*many)}, seed=2)


def test_part_that_the_set_has_stays_and_its_passages_leave_the_training(caplog):
    test = corpus(("text 0", "title 0"), ("new", "other"), prefix="t")
    parts = divide({"train": corpus(*many), "test": test})
    assert parts.test == test
    assert "text 0" not in {passage.text for part in (parts.train, parts.calibration) for passage in part.passages}
    assert "1 passage was left out because a later part of the data has the same text" in caplog.messages


def test_too_few_articles_are_refused():
    with pytest.raises(DataError, match=r"2 articles, no question left for train: give at least 3 articles"):
        divide({"train": corpus(("a", "A"), ("b", "B"))})


def test_id_in_two_parts_is_refused():
    with pytest.raises(DataError, match="1 question id used in several parts of the data, 'q0': each question"):
        divide({"train": corpus(*many), "test": corpus(("new", "new"))})


def test_saved_splits_find_the_same_parts_again(tmp_path):
    given_parts = {"train": corpus(*many), "test": corpus(("new", "new"), prefix="t")}
    parts = divide(given_parts)
    splits_of(parts).save(tmp_path / "splits.json")
    assert choose(Splits.load(tmp_path / "splits.json"), given_parts, "the set") == parts


def test_question_that_has_gone_is_named():
    splits = Splits(("q0", "q77"), ("q1",), ("q2",))
    with pytest.raises(DataError, match="1 of 4 samples of the splits are no longer in the set: 'q77'"):
        choose(splits, {"train": corpus(*many)}, "the set")


def test_paraphrases_of_other_parts_are_left_out():
    def paraphrase(*names):
        questions = tuple(Question(name, "What?", (Answer("t", 0),)) for name in names)
        return Passage("text", questions, origin=Origin("fr", "translation", 1.0))

    augmented = Corpus((paraphrase("q0#fr-0", "q9#fr-0"), paraphrase("q9#fr-1"), paraphrase("q1#fr-0")), "1.1")
    kept = paraphrases_of(augmented, corpus(("a", "A"), ("b", "B")))
    assert kept.passages == (paraphrase("q0#fr-0"), paraphrase("q1#fr-0"))
