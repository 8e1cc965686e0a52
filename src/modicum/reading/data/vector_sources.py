"""Which word vectors a training uses, and a line in the log that says so."""

import logging
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal, assert_never

import numpy as np

from modicum.reading.data.vector_files import read_vectors
from modicum.reading.data.vector_storage import read_vectors_once
from modicum.reading.data.vectors import (
    HashedVectors,
    JoinedVectors,
    TrainedVectors,
    VectorTable,
    WordVectors,
    measure_coverage,
)
from modicum.reading.data.vocabulary import Vocabulary, count_words
from modicum.storage.errors import DataError, MissingExtraError

_log = logging.getLogger(__name__)

Fallback = Literal["random", "trained", "skip-gram"]

_SKIP_GRAM_EPOCHS = 10


def open_vectors(
    path: str | Path, counts: Counter[str], *, dimension: int, cache: str | Path | None = None, seed: int = 0
) -> WordVectors:
    """Opens the vectors of a file for the words of the data; adds random dimensions if it has too few.

    Args:
        path: See `read_vectors`.
        counts: Occurrences of each word of the data.
        dimension: p1, numbers per word.
        cache: Keep what was read in a folder below this one, for the next time; None reads the file each time.
        seed: Seed of the random dimensions.

    Raises:
        DataError: If the file cannot be used, or has more dimensions than asked for.
        MissingExtraError: See `read_vectors`.
    """
    table = read_vectors(path, counts) if cache is None else read_vectors_once(path, counts, cache)
    _log.info("word vectors: %s; %s", table.name, measure_coverage(table, counts))
    if table.dimension > dimension:
        raise DataError(
            f"{path} has vectors of {table.dimension} dimensions, the network takes {dimension}: "
            f"pass --network.embedding.word_dim {table.dimension}, or take a file of fewer"
        )
    if table.dimension == dimension:
        return table
    hashed = HashedVectors(dimension - table.dimension, seed=seed, std=float(np.std(table.matrix)))
    _log.info("word vectors: beside them %s", hashed.name)
    return JoinedVectors(table, hashed)


def make_vectors(
    fallback: Fallback, texts: Sequence[Sequence[str]], vocabulary: Vocabulary, *, dimension: int, seed: int = 0
) -> WordVectors:
    """Makes word vectors when there is no file of them.

    Args:
        fallback: "random" fixed vectors, equal for equal words; "trained" by the network itself, for tens of thousands
            of questions; "skip-gram", learnt from the texts first.
        texts: The words of the passages of the training.
        vocabulary: The vocabulary of the training.
        dimension: p1, numbers per word.
        seed: Seed of everything random.

    Raises:
        MissingExtraError: If skip-gram is wanted and gensim is not installed.
        DataError: If skip-gram is wanted and the texts are too few.
    """
    vectors: WordVectors
    match fallback:
        case "random":
            vectors = HashedVectors(dimension, seed=seed)
        case "trained":
            vectors = TrainedVectors(vocabulary.words)
        case "skip-gram":
            vectors = learn_skip_grams(texts, dimension=dimension, seed=seed)
        case _:
            assert_never(fallback)
    _log.info("word vectors: %s; %s", vectors.name, measure_coverage(vectors, count_words(texts)))
    return vectors


def learn_skip_grams(texts: Sequence[Sequence[str]], *, dimension: int, seed: int = 0, least: int = 2) -> VectorTable:
    """Learns vectors with which words predict their neighbours: T. Mikolov et al., *Efficient Estimation*, 2013.

    Uses gensim in one thread, so the same texts and seed give the same vectors; a million words take about a minute.

    Args:
        texts: Words of each text.
        dimension: p1, numbers per word.
        seed: Of the first vectors and the order of examples.
        least: Rarer words have no vector.

    Raises:
        MissingExtraError: If gensim is not installed.
        DataError: If no word occurs often enough.
    """
    try:
        word2vec = import_module("gensim.models.word2vec")
    except ImportError as error:
        raise MissingExtraError("gensim", "gensim") from error
    if max(count_words(texts).values(), default=0) < least:
        raise DataError(f"the texts have no word that occurs {least} times: too little to learn word vectors from")
    settings = {"vector_size": dimension, "window": 5, "negative": 5, "min_count": least, "epochs": _SKIP_GRAM_EPOCHS}
    model = word2vec.Word2Vec([list(text) for text in texts], sg=1, workers=1, seed=seed, **settings)
    name = f"skip-gram vectors learnt from {len(texts):,} texts, {dimension} dimensions"
    return VectorTable(model.wv.index_to_key, model.wv.vectors.astype(np.float32), name)
