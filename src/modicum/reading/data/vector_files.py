"""Files of word vectors, as published: GloVe, word2vec and fastText; text or binary, plain, .gz or .zip.

The format is known by the content. Of a file with millions of words only those that the data hold are kept.
"""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.reading.data.regular_files import GZIP_MAGIC, require_regular
from modicum.reading.data.vectors import VectorTable, word_forms
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, MissingExtraError, first_few

_FASTTEXT_MAGIC = struct.pack("<i", 793_712_314)
_ZIP_MAGIC = b"PK\x03\x04"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 1 << 20  # bytes; a binary file need not have line ends at all
_CHUNK = 1 << 20  # bytes, also the longest word

Row = tuple[bytes, NDArray[np.float32]]


class _Header(NamedTuple):
    """First line of word2vec's and fastText's formats; GloVe has none."""

    words: int
    dimension: int


def read_vectors(path: str | Path, wanted: Collection[str] | None = None) -> VectorTable:
    """Reads the vectors of a file, for the wanted words only, in the file's order.

    Args:
        path: The file; of a .zip with several, ``archive.zip/name``.
        wanted: Words of the data, of which any form is kept (see `word_forms`); None keeps the whole file in memory.

    Raises:
        DataError: If the file is missing, damaged or of no known format, or has none of the words.
        MissingExtraError: If it is a binary fastText model, which gensim reads, and gensim is not installed.
    """
    path = Path(path)
    with _opened(path) as file:
        is_fasttext = file.read(len(_FASTTEXT_MAGIC)) == _FASTTEXT_MAGIC
    if is_fasttext:
        return _read_fasttext(path, wanted)
    forms = (
        None if wanted is None else {form.encode("utf-8", "replace") for word in wanted for form in word_forms(word)}
    )
    with _opened(path) as file:
        kept: dict[str, NDArray[np.float32]] = {}
        for word, vector in _rows(file, forms, path):
            kept.setdefault(word.decode("utf-8", "replace"), vector)
    if not kept:
        raise DataError(f"{path} has vectors of none of the words of the data: is it of their language?")
    return VectorTable(tuple(kept), np.stack(list(kept.values())), path.name)


def file_of(path: Path) -> Path:
    """Returns the file that a path leads to or into: ``a.zip`` for ``a.zip/name``."""
    return next((parent for parent in path.parents if parent.is_file()), path)


def _rows(file: IO[bytes], wanted: Collection[bytes] | None, path: Path) -> Iterator[Row]:
    """Returns the rows of a text or word2vec file, for the wanted words only."""
    first, second = file.readline(_LONGEST_LINE), file.readline(_LONGEST_LINE)
    start = len(_BYTE_ORDER_MARK) if first.startswith(_BYTE_ORDER_MARK) else 0
    header = _parse_header(first[start:])
    row = second if header else first[start:]
    dimension = header.dimension if header else len(row.split()) - 1
    if dimension < 2 or not (header or _is_text_row(row, dimension)):
        raise DataError(f"{path} is no file of word vectors: it begins with {first[:60]!r}")
    counts = [_count_numbers(line) for line in (row, file.readline(_LONGEST_LINE)) if line]
    file.seek(len(first) if header else start)
    if header is None or dimension in counts:
        return _text_rows(file, wanted, dimension, path, first_line=2 if header else 1)
    if min(counts, default=0) >= 2:
        raise DataError(
            f"{path}: its header says {header.dimension} dimensions, but line 2 has {counts[0]} numbers: correct the "
            f"header to '{header.words} {counts[0]}', or get the file again"
        )
    return _binary_rows(file, wanted, header, path)


def _text_rows(
    file: IO[bytes], wanted: Collection[bytes] | None, dimension: int, path: Path, *, first_line: int
) -> Iterator[Row]:
    lines = iter(partial(file.readline, _LONGEST_LINE), b"")
    for number, line in enumerate(lines, start=first_line):
        # From the right: some published words have blanks in them, ". . ." for one. Tokens never have.
        word, *rest = (line.rsplit(None, dimension) if wanted is None else line.split()) or [b""]
        is_blank = not word or line[:1].isspace()  # a word that is a blank, or an empty line
        if is_blank or (wanted is not None and (word not in wanted or len(rest) > dimension)):
            continue
        try:
            vector = np.array([float(part) for part in rest], np.float32)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is damaged: {error}") from error
        yield word, _checked(vector, dimension, path, f"line {number}")


def _binary_rows(file: IO[bytes], wanted: Collection[bytes] | None, header: _Header, path: Path) -> Iterator[Row]:
    size = 4 * header.dimension
    buffer, position = b"", 0
    for number in range(1, header.words + 1):
        while (blank := buffer.find(b" ", position)) < 0 or len(buffer) < blank + 1 + size:
            more = file.read(_CHUNK)
            if not more or len(buffer) - position > _CHUNK + size:
                raise DataError(f"{path} is cut off or damaged at word {number} of {header.words}; get it again")
            buffer, position = buffer[position:] + more, 0
        word = buffer[position:blank].lstrip(b"\n")  # word2vec ends rows with a newline, others do not
        position = blank + 1 + size
        if wanted is None or word in wanted:
            vector = np.frombuffer(buffer, "<f4", header.dimension, blank + 1).astype(np.float32)
            yield word, _checked(vector, header.dimension, path, f"row {number} of the vectors")


def _checked(vector: NDArray[np.float32], dimension: int, path: Path, place: str) -> NDArray[np.float32]:
    if len(vector) != dimension or not np.isfinite(vector).all():
        raise DataError(
            f"{path}: {place} must have {dimension} finite numbers, but has {counted(len(vector), 'number')}"
            f"{'' if np.isfinite(vector).all() else ', some of them not finite'}: the file is damaged, get it again"
        )
    return vector


def _parse_header(line: bytes) -> _Header | None:
    parts = line.split()
    return _Header(int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(bytes.isdigit, parts)) else None


def _is_text_row(line: bytes, dimension: int) -> bool:
    _, *numbers = line.rsplit(None, dimension) or [b""]
    return len(numbers) == dimension and all(map(_is_number, numbers))


def _count_numbers(line: bytes) -> int:
    """Counts the numbers at the end of a line, the first word aside; binary content hardly ever has two or more."""
    return len(list(takewhile(_is_number, reversed(line.split()[1:]))))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_fasttext(path: Path, wanted: Collection[str] | None) -> VectorTable:
    """Reads a fastText model, which gives any word a vector from the pieces of the word."""
    try:
        fasttext = import_module("gensim.models.fasttext")
    except ImportError as error:
        raise MissingExtraError("gensim", "gensim") from error
    vectors = fasttext.load_facebook_vectors(str(path))
    words = list(vectors.index_to_key if wanted is None else dict.fromkeys(wanted))
    return VectorTable(words, np.stack([vectors[word] for word in words]).astype(np.float32), path.name)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens the uncompressed content; damage found while reading raises `DataError`, too."""
    archive = file_of(path)
    require_regular(archive)
    try:
        with archive.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic.startswith(GZIP_MAGIC):
                yield io.BufferedReader(gzip.GzipFile(fileobj=file))
            elif magic == _ZIP_MAGIC:
                with zipfile.ZipFile(file) as members, members.open(_member(members, path, archive)) as member:
                    yield member
            elif archive != path:
                raise DataError(f"{archive} is a file and no zip archive, so it holds no {path.name}")
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(f"{archive} is damaged: {error}; get it again") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror or error}") from error


def _member(archive: zipfile.ZipFile, path: Path, place: Path) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if path != place and (asked := path.relative_to(place).as_posix()) in names:
        return asked
    if path == place and len(names) == 1:
        return names[0]
    raise DataError(f"{place} holds {first_few(names)}: name one of them as {place / (names or ['name'])[0]}")
