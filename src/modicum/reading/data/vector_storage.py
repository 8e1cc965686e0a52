"""Word vectors in folders: mapped into memory when they are read again, so that processes share them."""

import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modicum.reading.data.vector_files import file_of, read_vectors
from modicum.reading.data.vectors import HashedVectors, JoinedVectors, TrainedVectors, VectorTable, WordVectors
from modicum.storage.errors import DataError
from modicum.storage.files import JSON, write_atomically
from modicum.storage.sealing import read_sealed, write_sealed

_DESCRIPTION, _MATRIX = "vectors.json", "vectors.npy"
_VERSION = 1


def save_vectors(vectors: WordVectors, folder: str | Path) -> None:
    """Writes vectors to a folder: ``vectors.json``, and ``vectors.npy`` where there is a table.

    Raises:
        TypeError: If they are of a kind that cannot be stored.
    """
    folder = Path(folder)
    match vectors:
        case VectorTable():
            description = {"table": _save_table(vectors, folder)}
        case JoinedVectors():
            description = {"table": _save_table(vectors.table, folder), "hashed": _describe(vectors.hashed)}
        case HashedVectors():
            description = {"hashed": _describe(vectors)}
        case TrainedVectors():
            description = {"trained": {"words": vectors.words}}
        case _:
            raise TypeError(f"cannot store word vectors of type {type(vectors).__name__}")
    # Last, because it says that the folder is complete.
    write_sealed(folder / _DESCRIPTION, {"version": _VERSION, **description})


def load_vectors(folder: str | Path) -> WordVectors:
    """Reads what `save_vectors` wrote; a table stays in its file and is mapped into memory.

    Raises:
        DataError: If the folder is incomplete, damaged or of another version.
    """
    folder = Path(folder)
    description = read_sealed(folder / _DESCRIPTION, remedy="delete the folder")
    if (version := description.get("version")) != _VERSION:
        raise DataError(f"{folder} holds word vectors of version {version}, this modicum reads {_VERSION}: delete it")
    try:
        return _load(folder, description)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{folder} is a damaged folder of word vectors: {error!r}; delete it") from error


def read_vectors_once(path: str | Path, wanted: Collection[str], cache: str | Path) -> VectorTable:
    """Reads vectors as `read_vectors` does, cached in a folder below ``cache`` and mapped into memory.

    A changed file under the same path or other words get a folder of their own.

    Raises:
        DataError: As `read_vectors`, and if the folder is damaged.
    """
    file = file_of(Path(path)).resolve()
    stat = file.stat() if file.is_file() else None
    identity = [_VERSION, str(Path(path).resolve()), stat and (stat.st_size, stat.st_mtime_ns), sorted(wanted)]
    folder = Path(cache) / hashlib.blake2b(repr(identity).encode(), digest_size=10).hexdigest()
    if not (folder / _DESCRIPTION).is_file():
        save_vectors(read_vectors(path, wanted), folder)
    vectors = load_vectors(folder)
    if not isinstance(vectors, VectorTable):
        raise DataError(f"{folder} holds no table of word vectors: delete it")
    return vectors


def _load(folder: Path, description: Mapping[str, Any]) -> WordVectors:
    if "trained" in description:
        return TrainedVectors(description["trained"]["words"])
    if "table" not in description:
        return HashedVectors(**description["hashed"])
    _verify(folder / _MATRIX, description["table"]["sha256"])
    matrix = np.load(folder / _MATRIX, mmap_mode="r")
    table = VectorTable(description["table"]["words"], matrix, description["table"]["name"])
    return JoinedVectors(table, HashedVectors(**description["hashed"])) if "hashed" in description else table


def _save_table(table: VectorTable, folder: Path) -> dict[str, JSON]:
    content = io.BytesIO()
    np.save(content, table.matrix, allow_pickle=False)
    write_atomically(folder / _MATRIX, content.getvalue())
    return {"words": table.words, "name": table.name, "sha256": hashlib.sha256(content.getbuffer()).hexdigest()}


def _verify(matrix: Path, expected: str) -> None:
    with matrix.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
            raise DataError(
                f"{matrix} is not as it was written (its digest differs): delete the folder {matrix.parent}"
            )


def _describe(hashed: HashedVectors) -> dict[str, JSON]:
    return {"dimension": hashed.dimension, "seed": hashed.seed, "std": hashed.std}
