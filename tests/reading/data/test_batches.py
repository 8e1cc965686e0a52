import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.alignment import Span
from modicum.reading.data.arrays import match_words
from modicum.reading.data.batches import IGNORED, Collator, TokenBudgetSampler, length_batches
from modicum.reading.data.examples import Example, Tokenised
from modicum.reading.data.tokens import tokenize
from modicum.reading.data.vectors import HashedVectors, TrainedVectors, VectorTable
from modicum.reading.data.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("the", "sky"), ("e", "h", "s"))


def example(text, question="What ?", span=None, *, impossible=False):
    tokens = tuple(tokenize(text))
    return Example("q", Tokenised(text, tokens), range(len(tokens)), tuple(question.split()), span, impossible)


def words_of(batch, rows, table):
    return [[table[row - 1] for row in line if row] for line in rows.tolist()]


def assert_padding_is_last(rows):
    """Every line has a word, and none after padding, which networks would answer with nonsense."""
    present = rows != 0
    assert present[:, 0].all()
    assert (present[:, 1:] <= present[:, :-1]).all()


texts = st.lists(st.sampled_from(["the", "The", "sky", "is", "blue", "é", ",", "3.14"]), min_size=1).map(" ".join)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_batch_holds_the_words_of_its_examples_in_order(pairs):
    examples = [example(text, question) for text, question in pairs]
    inputs = Collator(VOCABULARY, HashedVectors(3))(examples).inputs
    assert len(inputs.words) == len(inputs.vectors) == len(inputs.characters)
    for rows in (inputs.passage, inputs.question):
        assert_padding_is_last(rows)
    table = list(dict.fromkeys([w for e in examples for w in e.words] + [w for e in examples for w in e.question]))
    assert words_of(inputs, inputs.passage, table) == [e.words for e in examples]
    assert words_of(inputs, inputs.question, table) == [list(e.question) for e in examples]
    np.testing.assert_array_equal(inputs.vectors[1:], HashedVectors(3).lookup(table).vectors)


def test_table_has_each_word_once_and_padding_first():
    inputs = Collator(VOCABULARY, HashedVectors(2), word_characters=2)(
        [example("the sky , the sea", "the sky ?")]
    ).inputs
    assert inputs.passage.tolist() == [[1, 2, 3, 1, 4]]
    assert inputs.question.tolist() == [[1, 2, 5]]
    assert inputs.characters.tolist() == [[0, 0], [1, 3], [4, 1], [1, 0], [4, 2], [1, 0]]
    assert inputs.vectors[0].tolist() == [0, 0]


def test_word_without_a_vector_is_unknown_whether_the_vocabulary_has_it_or_not():
    vectors = VectorTable(("sky", "blue"), np.ones((2, 2), np.float32), "")
    inputs = Collator(VOCABULARY, vectors)([example("the sky is blue")]).inputs
    assert inputs.words.tolist()[:5] == [0, 1, 3, 1, 2]
    assert inputs.vectors[:5, 0].tolist() == [0, 0, 1, 0, 1]


def test_rows_of_trained_vectors_are_those_of_the_vocabulary():
    inputs = Collator(VOCABULARY, TrainedVectors(VOCABULARY.words))([example("the sky is")]).inputs
    assert inputs.words.tolist()[:4] == [0, 2, 3, 1]
    assert inputs.vectors.shape == (len(inputs.words), 0)


def test_match_ignores_case_and_punctuation():
    found = match_words(["The", "SKY", "'s", ",", "blue", "हिन्दी", "3.14"], ["the", "sky", "'s", ",", "हिन्दी", "3.14"])
    assert found.tolist() == [1, 1, 0, 0, 0, 1, 1]


def test_padding_never_matches():
    batch = Collator(VOCABULARY, HashedVectors(2))([example("sky", "sky"), example("the sky is", "sky")])
    assert batch.inputs.match.tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("has_no_answer", "expected"), [(False, (3, IGNORED, IGNORED)), (True, (4, 0, IGNORED))])
def test_targets(has_no_answer, expected):
    examples = [example("a b c d", span=Span(1, 3)), example("a b", impossible=True), example("a b")]
    batch = Collator(VOCABULARY, HashedVectors(2), has_no_answer=has_no_answer)(examples)
    assert tuple(batch.end.tolist()) == expected
    assert batch.start[0] == 1 + has_no_answer


def test_batch_moves_with_its_examples():
    batch = Collator(VOCABULARY, HashedVectors(2))([example("a b", span=Span(0, 1))])
    moved = batch.to("meta")
    assert all(tensor.device == torch.device("meta") for tensor in (*moved.inputs, moved.start, moved.end))
    assert moved.examples == batch.examples


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80)


@given(lengths, st.integers(1, 100), st.integers(1, 9))
def test_batches_keep_to_the_budget_and_leave_nothing_out(lengths, max_tokens, max_examples):
    batches = length_batches(range(len(lengths)), lengths, max_tokens=max_tokens, max_examples=max_examples)
    assert [index for batch in batches for index in batch] == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) <= max_examples
        assert len(batch) == 1 or longest * len(batch) <= max_tokens


@given(lengths, st.integers(0, 3), st.integers(0, 3))
def test_epoch_takes_every_example_once_and_is_a_function_of_seed_and_epoch(lengths, seed, epoch):
    first, second = (TokenBudgetSampler(lengths, max_tokens=90, max_examples=4, seed=seed) for _ in range(2))
    second.set_epoch(5)
    first.set_epoch(epoch)
    second.set_epoch(epoch)
    assert list(first) == list(second)
    assert sorted(index for batch in first for index in batch) == list(range(len(lengths)))
    assert len(first) == len(list(first))


def test_epochs_and_seeds_differ():
    lengths = list(range(1, 65))
    sampler = TokenBudgetSampler(lengths, max_tokens=200, max_examples=8)
    before = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != before
    assert list(TokenBudgetSampler(lengths, max_tokens=200, max_examples=8, seed=1)) != before


@given(lengths.filter(lambda lengths: len(lengths) >= 3), st.integers(1, 3))
def test_ranks_share_the_batches_evenly(lengths, world_size):
    ranks = [
        TokenBudgetSampler(lengths, max_tokens=90, max_examples=4, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    taken = [index for rank in ranks for batch in rank for index in batch]
    assert len(taken) == len(set(taken))
    assert len({len(rank) for rank in ranks}) == 1
    assert len(ranks[0]) >= 1


def test_sorted_batches_have_far_less_padding_than_random_ones():
    lengths = np.random.default_rng(0).integers(20, 400, 2000)
    sampler = TokenBudgetSampler(lengths.tolist(), max_tokens=10**9, max_examples=32)
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in sampler)
    assert padded / lengths.sum() < 1.15  # random batches of 32 are padded to 1.85 times


def test_weights_decide_how_often_an_example_is_drawn():
    sampler = TokenBudgetSampler([5] * 300, max_tokens=50, max_examples=8, weights=[3.0] * 150 + [1.0] * 150)
    drawn = np.concatenate(list(sampler))
    assert len(drawn) == 300
    assert (drawn < 150).mean() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [2.0, -1.0]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be 2 numbers of at least 0, not all 0"):
        TokenBudgetSampler([1, 2], max_tokens=9, max_examples=9, weights=weights)


def test_fewer_examples_than_ranks_are_refused():
    with pytest.raises(ValueError, match="each rank needs an example, got 4 ranks, 3 examples"):
        TokenBudgetSampler([1, 2, 3], max_tokens=9, max_examples=9, world_size=4)
