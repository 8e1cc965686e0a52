import numpy as np
import pytest

from modicum.reading.data.vector_storage import load_vectors, read_vectors_once, save_vectors
from modicum.reading.data.vectors import HashedVectors, JoinedVectors, TrainedVectors, VectorTable
from modicum.storage.errors import DataError
from modicum.storage.sealing import write_sealed

TABLE = VectorTable(("a", "né"), np.array([[1, 2], [3, 4]], np.float32), "two words")
WORDS = ["a", "né", "NÉ", "unseen"]


@pytest.mark.parametrize(
    "vectors",
    [TABLE, HashedVectors(3, seed=5, std=0.2), JoinedVectors(TABLE, HashedVectors(3, seed=5)), TrainedVectors(("a",))],
    ids=["table", "hashed", "joined", "trained"],
)
def test_saved_vectors_are_read_again(tmp_path, vectors):
    save_vectors(vectors, tmp_path)
    loaded = load_vectors(tmp_path)
    assert (type(loaded), loaded.name, loaded.dimension) == (type(vectors), vectors.name, vectors.dimension)
    for found, expected in zip(loaded.lookup(WORDS), vectors.lookup(WORDS), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_loaded_table_is_mapped_from_its_file(tmp_path):
    save_vectors(TABLE, tmp_path)
    assert isinstance(load_vectors(tmp_path).matrix, np.memmap)


def test_vectors_of_another_kind_cannot_be_stored(tmp_path):
    with pytest.raises(TypeError, match="cannot store word vectors of type int"):
        save_vectors(3, tmp_path)


def test_damaged_folder_is_refused(tmp_path):
    save_vectors(TABLE, tmp_path)
    (tmp_path / "vectors.npy").write_bytes((tmp_path / "vectors.npy").read_bytes()[:-3])
    with pytest.raises(DataError, match=r"vectors\.npy is not as it was written .*: delete the folder"):
        load_vectors(tmp_path)


def test_folder_of_another_version_is_refused(tmp_path):
    write_sealed(tmp_path / "vectors.json", {"version": 9})
    with pytest.raises(DataError, match="of version 9, this modicum reads 1: delete it"):
        load_vectors(tmp_path)


def test_second_reading_comes_from_the_cache(tmp_path, monkeypatch):
    file, cache = tmp_path / "glove.txt", tmp_path / "cache"
    file.write_text("a 1 2\nb 3 4\n")
    first = read_vectors_once(file, ["a"], cache)
    monkeypatch.setattr("modicum.reading.data.vector_storage.read_vectors", None)
    second = read_vectors_once(file, {"a": 5}, cache)
    assert (first.words, second.words) == (("a",), ("a",))
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_other_words_or_another_file_are_read_anew(tmp_path):
    file, cache = tmp_path / "glove.txt", tmp_path / "cache"
    file.write_text("a 1 2\nb 3 4\n")
    assert read_vectors_once(file, ["a"], cache).words == ("a",)
    assert read_vectors_once(file, ["a", "b"], cache).words == ("a", "b")
    file.write_text("a 5 6 7\nb 3 4 5\n")
    assert read_vectors_once(file, ["a"], cache).matrix.tolist() == [[5, 6, 7]]
