import logging

import numpy as np
import pytest

from modicum.reading.data.vector_sources import learn_skip_grams, make_vectors, open_vectors
from modicum.reading.data.vectors import HashedVectors, JoinedVectors, TrainedVectors, VectorTable
from modicum.reading.data.vocabulary import count_words, make_vocabulary
from modicum.storage.errors import DataError, MissingExtraError

TEXTS = [["the", "cat", "sat"], ["the", "dog", "sat"]] * 10


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\ncat 3 4\n")
    return path


def test_file_of_the_right_size_is_taken_as_it_is(glove, caplog):
    caplog.set_level(logging.INFO)
    vectors = open_vectors(glove, count_words(TEXTS), dimension=2)
    assert isinstance(vectors, VectorTable)
    assert caplog.messages == ["word vectors: glove.txt; 50.0 % of 60 words, 50.0 % of 4 distinct ones, have vectors"]


def test_file_of_few_dimensions_is_filled_up(glove, tmp_path):
    vectors = open_vectors(glove, count_words(TEXTS), dimension=5, cache=tmp_path / "cache", seed=3)
    assert isinstance(vectors, JoinedVectors)
    assert vectors.dimension == 5
    assert vectors.hashed.std == pytest.approx(np.std([1, 2, 3, 4]))


def test_file_of_too_many_dimensions_is_refused(glove):
    with pytest.raises(DataError, match=r"of 2 dimensions, the network takes 1: pass --network.embedding.word_dim 2"):
        open_vectors(glove, count_words(TEXTS), dimension=1)


@pytest.mark.parametrize(("fallback", "kind"), [("random", HashedVectors), ("trained", TrainedVectors)])
def test_fallbacks_say_what_they_are(fallback, kind, caplog):
    caplog.set_level(logging.INFO)
    vectors = make_vectors(fallback, TEXTS, make_vocabulary(count_words(TEXTS)), dimension=4)
    assert isinstance(vectors, kind)
    assert caplog.messages == [
        f"word vectors: {vectors.name}; 100.0 % of 60 words, 100.0 % of 4 distinct ones, have vectors"
    ]


def test_skip_grams_are_repeatable_and_put_alike_words_together():
    pytest.importorskip("gensim")
    texts = [[word, place, "in", "the", word] for word in ("oslo", "rome") for place in ("north", "south")] * 50
    table = make_vectors("skip-gram", texts, make_vocabulary(count_words(texts)), dimension=8, seed=1)
    assert set(table.words) == {"oslo", "rome", "north", "south", "in", "the"}
    np.testing.assert_array_equal(table.matrix, learn_skip_grams(texts, dimension=8, seed=1).matrix)


def test_too_short_texts_teach_no_vectors():
    pytest.importorskip("gensim")
    with pytest.raises(DataError, match="no word that occurs 2 times"):
        learn_skip_grams([["once"]], dimension=4)


def test_without_gensim_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gensim.models.word2vec", None)
    with pytest.raises(
        MissingExtraError,
        match=r"gensim is not installed; .*run: pip install -e '\.\[gensim\]'",
    ):
        learn_skip_grams(TEXTS, dimension=4)
