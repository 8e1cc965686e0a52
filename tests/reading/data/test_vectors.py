import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.vectors import (
    HashedVectors,
    JoinedVectors,
    TrainedVectors,
    VectorTable,
    measure_coverage,
    word_forms,
)


@pytest.fixture
def table():
    return VectorTable(("king", "Paris", "NATO", '"'), np.arange(8, dtype=np.float32).reshape(4, 2), "four words")


@pytest.mark.parametrize(
    ("word", "row"), [("king", 0), ("KING", 0), ("paris", 1), ("nato", 2), ("''", 3), ("``", 3), ('"', 3)]
)
def test_word_is_found_in_other_forms(table, word, row):
    found = table.lookup([word])
    assert found.known.tolist() == [True]
    np.testing.assert_array_equal(found.vectors[0], table.matrix[row])


def test_word_as_it_is_goes_before_its_other_forms():
    assert word_forms("Us") == ("Us", "us", "US")
    assert word_forms("''") == ("''", '"')


def test_missing_word_has_zeros(table):
    found = table.lookup(["queen", "king"])
    assert found.known.tolist() == [False, True]
    assert found.vectors[0].tolist() == [0, 0]


def test_no_words_are_no_error(table):
    assert table.lookup([]).vectors.shape == (0, 2)
    assert HashedVectors(3).lookup([]).vectors.shape == (0, 3)


def test_words_and_vectors_must_be_as_many():
    with pytest.raises(ValueError, match=r"1 words need as many vectors, got an array of shape \(2, 3\)"):
        VectorTable(("a",), np.zeros((2, 3), np.float32), "")


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8))
def test_hashed_vector_depends_on_the_word_alone(words):
    hashed = HashedVectors(5, seed=3)
    alone = np.concatenate([hashed.lookup([word]).vectors for word in words])
    np.testing.assert_array_equal(hashed.lookup(words).vectors, alone)


def test_hashed_vectors_never_change():
    # Runs store the seed alone: other numbers here would make every trained network wrong.
    found = HashedVectors(3, seed=1).lookup(["word"]).vectors[0]
    np.testing.assert_allclose(found, [-0.4811291, -0.1562131, 0.5146614], rtol=1e-6)


def test_hashed_vectors_ignore_case_and_differ_between_words_and_seeds():
    first = HashedVectors(4).lookup(["The", "the", "a"]).vectors
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()
    assert (HashedVectors(4, seed=1).lookup(["the"]).vectors != first[1]).all()


def test_hashed_vectors_have_the_spread_asked_for_and_no_correlation():
    vectors = HashedVectors(64, std=0.7).lookup([f"word{n}" for n in range(4000)]).vectors
    assert vectors.std() == pytest.approx(0.7, rel=0.01)
    assert abs(vectors.mean()) < 0.01
    assert np.abs(np.corrcoef(vectors, rowvar=False) - np.eye(64)).max() < 0.08  # five standard errors of 4,000 words


def test_joined_vectors_know_every_word(table):
    joined = JoinedVectors(table, HashedVectors(3))
    found = joined.lookup(["king", "queen"])
    assert joined.dimension == found.vectors.shape[1] == 5
    assert found.known.all()
    np.testing.assert_array_equal(found.vectors[:, :2], table.lookup(["king", "queen"]).vectors)
    np.testing.assert_array_equal(found.vectors[:, 2:], HashedVectors(3).lookup(["king", "queen"]).vectors)


def test_trained_vectors_know_the_vocabulary():
    found = TrainedVectors(("a", "b")).lookup(["b", "c"])
    assert (found.vectors.shape, found.known.tolist()) == ((2, 0), [True, False])


def test_coverage_counts_words_and_tokens(table):
    coverage = measure_coverage(table, {"king": 6, "queen": 3, "lord": 1})
    assert str(coverage) == "60.0 % of 10 words, 33.3 % of 3 distinct ones, have vectors"


def test_coverage_of_nothing_is_refused(table):
    with pytest.raises(ValueError, match="no words to cover"):
        measure_coverage(table, {})
