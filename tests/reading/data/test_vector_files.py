import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest

from modicum.reading.data.vector_files import read_vectors
from modicum.storage.errors import DataError, MissingExtraError

ROWS = {"the": [0.5, -1.0, 2.0], "né": [1.0, 0.0, 0.25], ",": [3.0, 3.0, 3.0]}


def as_text(rows=ROWS, *, header=False):
    lines = [" ".join([word, *map(str, vector)]) for word, vector in rows.items()]
    return "\n".join([*([f"{len(rows)} 3"] if header else []), *lines, ""]).encode()


def as_word2vec(rows=ROWS, *, newline=b"\n"):
    packed = [word.encode() + b" " + struct.pack("<3f", *vector) + newline for word, vector in rows.items()]
    return f"{len(rows)} 3\n".encode() + b"".join(packed)


def as_zip(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.txt"), data, zipfile.ZIP_DEFLATED)  # without the time
    return content.getvalue()


@pytest.fixture
def write(tmp_path):
    """Function that writes a file and returns its path."""

    def write(content, name="vectors.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        as_text(),
        as_text(header=True),
        as_text(header=True).replace(b"\n", b" \n"),
        as_text().replace(b"\n", b"\r\n"),
        as_word2vec(),
        as_word2vec(newline=b""),
        gzip.compress(as_text(), mtime=0),
        gzip.compress(as_word2vec(), mtime=0),
        as_zip(only=as_text()),
        as_text(header=True).replace(b"3 3\n", b" 3   3 \r\n", 1),
        as_text().replace(b" ", b"\t"),
        as_text(header=True).replace(b" ", b"  "),
        b"\xef\xbb\xbf" + as_text(),
        b"\xef\xbb\xbf" + as_text(header=True),
        b"\xef\xbb\xbf" + as_word2vec(),
        as_text() + b"\n",
        b" 1.0 2.0 3.0\n".join([as_text(header=True), b""]),
    ],
    ids=[
        "GloVe",
        "header",
        "blank at line ends",
        "CRLF",
        "word2vec",
        "no newlines",
        "GloVe gz",
        "word2vec gz",
        "zip",
        "header with blanks",
        "tabs",
        "double blanks",
        "byte order mark",
        "byte order mark and header",
        "byte order mark and word2vec",
        "empty line",
        "vector of a blank",
    ],
)
@pytest.mark.parametrize("wanted", [None, ["the", "né", ","]], ids=["all", "wanted"])
def test_published_formats(write, content, wanted):
    table = read_vectors(write(content), wanted)
    assert table.words == tuple(ROWS)
    np.testing.assert_array_equal(table.matrix, np.array(list(ROWS.values()), np.float32))


@pytest.mark.parametrize("content", [as_text(), as_word2vec()])
def test_only_forms_of_wanted_words_are_kept(write, content):
    assert read_vectors(write(content), ["The", "queen"]).words == ("the",)


def test_words_with_blanks_in_them_are_read_from_the_right(write):
    rows = {". . .": [1.0, 2.0, 3.0], "at name@domain": [4.0, 5.0, 6.0], ".": [7.0, 8.0, 9.0]}
    path = write(as_text(rows, header=True))
    assert read_vectors(path).words == tuple(rows)
    assert read_vectors(path, ["."]).matrix.tolist() == [[7, 8, 9]]


def test_other_blanks_and_line_ends_are_parts_of_words(write):
    rows = {"a\u00a0b": [1.0, 2.0, 3.0], "c\u2028d": [4.0, 5.0, 6.0], "e\x85f": [7.0, 8.0, 9.0]}
    assert read_vectors(write(as_text(rows))).words == tuple(rows)


def test_first_vector_of_a_repeated_word_counts(write):
    assert read_vectors(write(as_text() + b"the 9 9 9\n"), ["the"]).matrix.tolist() == [[0.5, -1, 2]]


def test_numbers_are_words_too(write):
    assert read_vectors(write(as_text({"1": [1.0, 2.0, 3.0], "2": [4.0, 5.0, 6.0]}))).words == ("1", "2")


def test_member_of_an_archive_is_named_like_a_file_in_it(write):
    path = write(as_zip(small=as_text(), large=as_text({"x": [1.0, 2.0, 3.0]})), "glove.zip")
    assert read_vectors(path / "large.txt").words == ("x",)
    with pytest.raises(DataError, match=r"holds 'small.txt', 'large.txt': name one of them as .*glove.zip/small.txt"):
        read_vectors(path)
    with pytest.raises(DataError, match=r"holds 'small.txt', 'large.txt': name one of them"):
        read_vectors(path / "none.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no file of word vectors: it begins with b''"),
        (b"hello\n", "is no file of word vectors: it begins with b'hello"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no file of word vectors"),
        (as_text() + b"cut 1.0 2.0\n", "line 4 must have 3 finite numbers, but has 2 numbers"),
        (as_text() + b"bad 1.0 x 2.0\n", "line 4 is damaged: could not convert string to float"),
        (as_text() + b"bad 1.0 nan 2.0\n", "line 4 .* has 3 numbers, some of them not finite"),
        (as_text(header=True) + b"cut 1.0\n", "line 5 must have 3 finite numbers, but has 1 number: the file"),
        (as_word2vec()[:-9], "is cut off or damaged at word 3 of 3"),
        (as_word2vec(ROWS | {"x": [np.inf, 0, 0]}), "row 4 .* not finite"),
        (gzip.compress(as_text() * 99, mtime=0)[:-20], "is damaged: Compressed file ended"),
        (as_zip(a=as_text())[:60], "is damaged: File is not a zip file"),
    ],
)
def test_damaged_file_is_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        read_vectors(write(content))


@pytest.mark.parametrize("wanted", [None, ["the"]])
@pytest.mark.parametrize("said", [2, 4, 300])
@pytest.mark.parametrize("change", [bytes, lambda content: content.replace(b"\n", b" \r\n"), gzip.compress])
def test_header_of_another_dimension_is_refused_with_both(write, wanted, said, change):
    path = write(change(f"3 {said}\n".encode() + as_text()))
    message = rf"its header says {said} dimensions, but line 2 has 3 numbers: correct the header to '3 3', or"
    with pytest.raises(DataError, match=message):
        read_vectors(path, wanted)


def test_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(DataError, match=r"cannot be read: (it is a pipe or a device|.*null)"):
            read_vectors(path)


def test_file_in_another_language_is_refused(write):
    with pytest.raises(DataError, match="none of the words of the data: is it of their language"):
        read_vectors(write(as_text()), ["слово"])


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.txt cannot be read: No such file"):
        read_vectors(tmp_path / "none.txt")


def test_path_into_a_plain_file_is_refused(write):
    with pytest.raises(DataError, match=r"vectors.bin is a file and no zip archive, so it holds no inner.txt"):
        read_vectors(write(as_text()) / "inner.txt")


def test_fasttext_model_gives_vectors_to_pieces_of_words(tmp_path):
    fasttext = pytest.importorskip("gensim.models.fasttext")
    model = fasttext.FastText([["walking", "talking"]] * 20, vector_size=4, min_count=1, epochs=1, workers=1, seed=1)
    fasttext.save_facebook_model(model, str(tmp_path / "model.bin"))
    table = read_vectors(tmp_path / "model.bin", ["walking", "balking"])
    assert table.words == ("walking", "balking")
    np.testing.assert_allclose(table.matrix[0], model.wv["walking"], rtol=1e-5)
    np.testing.assert_allclose(table.matrix[1], model.wv["balking"], rtol=1e-5)


def test_without_gensim_the_error_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gensim.models.fasttext", None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[gensim\]'"):
        read_vectors(write(struct.pack("<2i", 793_712_314, 12)))


@pytest.mark.data
def test_real_glove_file(real_data):
    path = real_data / "glove_twitter_25d" / "glove.twitter.27B.25d.common12k.txt.gz"
    table = read_vectors(path)
    assert table.matrix.shape == (11925, 25)
    assert table.words[:3] == ("the", "of", "and")
    assert read_vectors(path, ["Denver"]).words == ("denver",)
