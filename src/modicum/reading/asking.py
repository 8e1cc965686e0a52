"""Reads what a user asks: questions about texts, from lines of JSON, files of questions and text files."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from modicum.prediction import Failure
from modicum.reading.data.layouts import PASSAGE_NAMES, is_question_file
from modicum.reading.data.problems import ProblemKind
from modicum.reading.data.regular_files import decode, read_regular, require_regular
from modicum.reading.data.squad import SURROGATE, read_squad
from modicum.storage.errors import DataError

LONGEST_LINE = 1 << 26  # bytes of a line of JSON
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some editors put one first
_LINES = (".jsonl", ".ndjson")  # read line by line, as they are needed
_UNASKED = (ProblemKind.MALFORMED, ProblemKind.EMPTY_PASSAGE, ProblemKind.EMPTY_QUESTION, ProblemKind.DUPLICATE_ID)


class Ask(NamedTuple):
    """A question about a text."""

    passage: str
    question: str
    id: str = ""  # by which its answer is known; its place among the questions where it is empty


def asks_of(entries: Iterable[str | Path]) -> Iterator[Ask | Failure]:
    """Yields the questions of files or of lines of JSON (which begin with a brace); a `Failure` for unreadable ones.

    Args:
        entries: Names of files of questions as for training, with or without answers; other files hold one JSON object
            per line, with "passage" (or "context"), "question" and an optional "id".
    """
    for number, entry in enumerate(entries, start=1):
        try:
            if not isinstance(entry, str | Path):
                raise DataError(f"must be a file or a line of JSON, got a {type(entry).__name__}")
            if isinstance(entry, str) and entry.lstrip().startswith("{"):
                yield ask_of_line(entry, f"input {number}")
            elif is_question_file(str(entry)) and not str(entry).lower().endswith(_LINES):
                yield from _asks_of_questions(entry)
            else:
                yield from _asks_of_lines(Path(entry))
        except DataError as error:
            yield Failure(f"input {number}", str(error))


def _asks_of_questions(path: str | Path) -> Iterator[Ask | Failure]:
    """Yields the questions of a file, then a `Failure` for each entry that is not a question."""
    corpus, problems = read_squad(path, labelled=False)
    for asked in corpus.asked():
        yield Ask(asked.passage.text, asked.question.text, asked.question.id)
    for problem in problems:
        if problem.kind in _UNASKED:
            yield Failure(problem.place, problem.kind.value.one)


def _asks_of_lines(path: Path) -> Iterator[Ask | Failure]:
    require_regular(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
                is_long = len(line) == LONGEST_LINE and not line.endswith(b"\n")
                while is_long and (rest := file.readline(LONGEST_LINE)):
                    is_long = not rest.endswith(b"\n")
                yield from _asks_of_bytes(line, number, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _asks_of_bytes(line: bytes, number: int, path: Path) -> Iterator[Ask | Failure]:
    """Yields what one line of a file asks; nothing if it is blank."""
    place = f"{path}:{number}"
    if number == 1:
        line = line.removeprefix(_BYTE_ORDER_MARK)
    if len(line) >= LONGEST_LINE:
        yield Failure(place, f"a line of JSON has at most {LONGEST_LINE:,} bytes: ask about a part of the text")
        return
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        if number == 1 and not line.lstrip().startswith(b"{"):  # a picture, for one: all its lines would be told
            raise DataError(f"{path} cannot be read as lines of JSON: not UTF-8 text") from error
        yield Failure(place, f"not UTF-8 text at byte column {error.start + 1}")
        return
    if text.strip():
        yield ask_of_line(text, place)


def ask_of_line(line: str, place: str) -> Ask | Failure:
    """Parses the question in one line of JSON.

    Args:
        line: ``{"passage": ..., "question": ..., "id": ...}``; the id may be left out, other keys are ignored. Half
            surrogate pairs become U+FFFD.
        place: What to call the line in a failure.
    """
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Failure(place, f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        return Failure(place, f"not JSON: {error}")
    if not isinstance(value, dict):
        return Failure(place, f"must be a JSON object, {{...}}, but is a {type(value).__name__}")
    passage = next((name for name in PASSAGE_NAMES if name in value), "passage")
    for key in (passage, "question"):
        if not isinstance(value.get(key), str):
            return Failure(place, f"{key!r} must be a text, got {json.dumps(value.get(key))[:60]}")
    name = "" if value.get("id") is None else str(value["id"])
    return Ask(*(SURROGATE.sub("\ufffd", text) for text in (value[passage], value["question"], name)))


def read_passage(path: str | Path) -> str:
    """Reads the text of a file, plain or gzip-compressed.

    Raises:
        DataError: If it cannot be read, is not a regular file, or is not UTF-8.
    """
    return decode(read_regular(path), path)
