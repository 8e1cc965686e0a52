from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest

from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.squad import read_squad, write_squad
from modicum.reading.preparation import (
    Words,
    open_parts,
    prepare_words,
    reading_batches,
    training_batches,
    with_paraphrases,
)
from modicum.reading.recipe import AugmentationOptions, TextOptions
from modicum.storage.errors import DataError, RunError
from modicum.storage.runs import RunFolder


@dataclass(frozen=True)
class Recipe:
    data: str
    vectors: str | None = None
    vector_cache: str | None = None
    words: str = "random"
    text: TextOptions = field(default_factory=lambda: TextOptions(batch_size=8))
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    baselines: bool = False
    seed: int = 0


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", system="qanet", recipe_text="", command="", versions={})


@pytest.fixture
def recipe(lookup_folder):
    return Recipe(str(lookup_folder))


@pytest.fixture
def train(recipe, run):
    return open_parts(recipe, run)[0].train


def collator_of(recipe, run):
    return prepare_words(recipe, 4, open_parts(recipe, run)[0], run).collator(recipe.text, has_no_answer=False)


def test_parts_are_kept_and_given_again(recipe, run):
    first, source = open_parts(recipe, run)
    again, _ = open_parts(replace(recipe, seed=5), run)
    assert again == first
    assert "questions in" in source.name


def test_questions_that_went_away_are_missed(recipe, run, tmp_path):
    open_parts(recipe, run)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for name in ("train", "dev", "test"):
        corpus = read_squad(f"{recipe.data}/{name}.json").corpus
        write_squad(fewer / f"{name}.json", replace(corpus, passages=corpus.passages[1:]))
    with pytest.raises(DataError, match="samples of the splits are no longer in"):
        open_parts(replace(recipe, data=str(fewer)), run)


def test_words_are_kept_and_read_again_without_the_file_of_vectors(recipe, run, tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("the 1 2\nriver 3 4\n")
    parts, _ = open_parts(recipe, run)
    words = prepare_words(replace(recipe, vectors=str(file)), 4, parts, run)
    file.unlink()
    for again in (prepare_words(replace(recipe, vectors=str(file)), 4, parts, run), Words.load(run)):
        assert again.vocabulary == words.vocabulary
        np.testing.assert_array_equal(
            again.vectors.lookup(["river", "zzz"]).vectors, words.vectors.lookup(["river", "zzz"]).vectors
        )


def test_vectors_in_a_cache_serve_further_runs(recipe, run, tmp_path, monkeypatch):
    file, cache = tmp_path / "vectors.txt", tmp_path / "cache"
    file.write_text("river 1 2 3 4\nthe 5 6 7 8\n")
    cached = replace(recipe, vectors=str(file), vector_cache=str(cache))
    parts, _ = open_parts(recipe, run)
    first = prepare_words(cached, 4, parts, run)
    monkeypatch.setattr("modicum.reading.data.vector_storage.read_vectors", lambda *args: pytest.fail("read again"))
    other = RunFolder.create(tmp_path / "other", system="qanet", recipe_text="", command="", versions={})
    again = prepare_words(cached, 4, parts, other)
    np.testing.assert_array_equal(*(words.vectors.lookup(["river", "the"]).vectors for words in (first, again)))


def test_vectors_of_a_file_are_kept_for_the_words_of_the_test_too(recipe, run, tmp_path):
    parts, _ = open_parts(recipe, run)
    in_test = {word for passage in parts.test.passages for word in passage.text.split()}
    in_train = {word for passage in parts.train.passages for word in passage.text.split()}
    unseen = sorted(in_test - in_train)[0]
    (tmp_path / "vectors.txt").write_text(f"{unseen} 7 8\nthe 1 2\n")
    words = prepare_words(replace(recipe, vectors=str(tmp_path / "vectors.txt")), 2, parts, run)
    assert words.vectors.lookup([unseen]).vectors.tolist() == [[7, 8]]
    assert unseen not in words.vocabulary.words


def test_each_epoch_takes_each_question_once_in_another_order(recipe, run, train):
    batches = training_batches(recipe, train, collator_of(recipe, run), seed=1)
    epochs = [[example.id for batch in batches.loader(epoch) for example in batch.examples] for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(asked.question.id for asked in train.asked())


def test_random_windows_differ_between_epochs_but_not_between_ranks_and_keep_the_answer(recipe, run, train):
    text = TextOptions(passage_tokens=30, stride=15, batch_size=8, batch_tokens=240, random_crop=True)
    batches = training_batches(replace(recipe, text=text), train, collator_of(recipe, run), seed=1)

    def shown(epoch, world_size=2):
        loaders = (batches.loader(epoch, rank, world_size) for rank in range(world_size))
        return {each.id: each for loader in loaders for batch in loader for each in batch.examples}

    first, whole, other = shown(0), shown(0, world_size=1), shown(1)
    assert first
    assert all(whole[name] == each for name, each in first.items())
    assert any(first[name].window != other[name].window for name in first.keys() & other.keys())
    told = {example.id: example.text(example.span) for example in batches.examples}
    assert all(each.text(each.span) == told[name] for name, each in (first | other).items())


def test_batches_keep_to_the_budget(recipe, run, train):
    text = TextOptions(passage_tokens=60, stride=30, batch_size=100, batch_tokens=120)
    batches = training_batches(replace(recipe, text=text), train, collator_of(recipe, run), seed=1)
    assert all(batch.inputs.passage.numel() <= 120 for batch in batches.loader(0))


def test_questions_left_out_are_told(recipe, run, train, caplog):
    caplog.set_level("INFO")
    tight = replace(recipe, text=replace(recipe.text, answer_tokens=1))
    training_batches(tight, train, collator_of(recipe, run), seed=1)
    assert "questions left out: answer of over 1 token" in caplog.text


def test_nothing_to_learn_from_is_an_error(recipe, run, train):
    tight = replace(recipe, text=replace(recipe.text, question_tokens=1))
    with pytest.raises(DataError, match="no question can be learnt from"):
        training_batches(tight, train, collator_of(recipe, run), seed=1)


def paraphrase(corpus, source):
    """The passages over again, as if someone had paraphrased them."""
    return replace(
        corpus,
        passages=tuple(
            replace(
                passage,
                origin=Origin(source, "test", 1.0),
                questions=tuple(replace(each, id=f"{each.id}#{source}") for each in passage.questions),
            )
            for passage in corpus.passages
        ),
    )


approx = partial(pytest.approx, abs=0.05)


def test_paraphrases_are_drawn_by_their_ratio(recipe, run, train, tmp_path):
    files = []
    for source in ("fr", "de"):
        write_squad(tmp_path / f"{source}.json", paraphrase(train, source))
        files.append(str(tmp_path / f"{source}.json"))
    mixed = replace(recipe, augmentation=AugmentationOptions(files=tuple(files), ratio=3.0))
    batches = training_batches(mixed, train, collator_of(recipe, run), seed=1)
    drawn = [
        example.passage.origin for epoch in range(5) for batch in batches.loader(epoch) for example in batch.examples
    ]
    shares = {name: count / len(drawn) for name, count in Counter(origin and origin.source for origin in drawn).items()}
    assert shares == {None: approx(3 / 5), "fr": approx(1 / 5), "de": approx(1 / 5)}


def test_questions_left_out_do_not_shift_the_ratio(recipe, run, train, tmp_path):
    passages = paraphrase(train, "fr").passages
    wordy = [replace(each, questions=tuple(replace(q, text=q.text * 20) for q in each.questions)) for each in passages]
    write_squad(tmp_path / "fr.json", replace(train, passages=(*wordy[2:], *passages[:2])))
    mixed = replace(recipe, augmentation=AugmentationOptions(files=(str(tmp_path / "fr.json"),)))
    batches = training_batches(mixed, train, collator_of(recipe, run), seed=1)
    drawn = [example.passage.origin is None for batch in batches.loader(0) for example in batch.examples]
    assert sum(drawn) / len(drawn) == approx(3 / 4)


def test_rules_paraphrase_the_training():
    question = Question("q", "What is red?", (Answer("the house", 21),))
    train = Corpus((Passage("He doesn't know that the house is red.", (question,)),), "1.1")
    found = with_paraphrases(train, AugmentationOptions(rules=True), seed=0)
    assert found.passages[0] == train.passages[0]
    assert found.passages[1].origin.source == "rules"
    assert found.passages[1].text != train.passages[0].text
    assert found.passages[1].questions[0].answers[0].text == "the house"


def test_watching_shows_every_question(recipe, run, train):
    loader = reading_batches(train, recipe.text, collator_of(recipe, run))
    shown = [example.id for batch in loader for example in batch.examples]
    assert sorted(shown) == sorted(asked.question.id for asked in train.asked())


def test_unfinished_run_is_refused(run):
    with pytest.raises(RunError, match=r"no model\.safetensors yet: finish its training with --resume"):
        run.require_finished()


@pytest.mark.parametrize("what", ["passage", "question", "answer"])
def test_texts_that_changed_behind_the_same_ids_are_noticed(recipe, run, tmp_path, what):
    open_parts(recipe, run)
    changed = tmp_path / "changed"
    changed.mkdir()
    for name in ("train", "dev", "test"):
        corpus = read_squad(f"{recipe.data}/{name}.json").corpus
        first, *others = corpus.passages
        if name == "test":
            question, *rest = first.questions
            if what == "passage":
                first = replace(first, text=f"{first.text} more")
            elif what == "question":
                first = replace(first, questions=(replace(question, text="why ?"), *rest))
            else:
                answer = Answer(first.text[:3], 0)
                first = replace(first, questions=(replace(question, answers=(answer,)), *rest))
        write_squad(changed / f"{name}.json", replace(corpus, passages=(first, *others)))
    with pytest.raises(DataError, match=r"samples of .* are not what .*run was begun with: .* changed; put them back"):
        open_parts(replace(recipe, data=str(changed)), run)
