"""What a user asks: a question about a text, from lines of JSON, SQuAD files and text files."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from modicum.imaging.files import Failure
from modicum.reading.data.squad import SURROGATE, read_squad
from modicum.storage.errors import DataError

_SQUAD_SUFFIXES = (".json", ".json.gz")
_ENCODING = "utf-8-sig"  # some editors put a byte order mark first


class Ask(NamedTuple):
    """A question about a text."""

    passage: str
    question: str
    id: str = ""  # by which its answer is known; its place among the questions where it is empty


def asks_of(entries: Iterable[str | Path]) -> Iterator[Ask | Failure]:
    """What files ask, or lines of JSON (which begin with a brace); what cannot be read costs only itself.

    Args:
        entries: ``.json`` and ``.json.gz`` are SQuAD's files, with answers or without; others hold a JSON object a
            line, with "passage" and "question", and "id" if it shall have a name.
    """
    for number, entry in enumerate(entries, start=1):
        try:
            if isinstance(entry, str) and entry.lstrip().startswith("{"):
                yield ask_of_line(entry, f"input {number}")
            elif str(entry).endswith(_SQUAD_SUFFIXES):
                yield from _asks_of_squad(entry)
            else:
                yield from _asks_of_lines(Path(entry))
        except DataError as error:
            yield Failure(f"input {number}", str(error))


def _asks_of_squad(path: str | Path) -> Iterator[Ask]:
    corpus = read_squad(path, labelled=False).corpus
    return (Ask(asked.passage.text, asked.question.text, asked.question.id) for asked in corpus.asked())


def _asks_of_lines(path: Path) -> Iterator[Ask | Failure]:
    try:
        with path.open(encoding=_ENCODING) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield ask_of_line(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(f"{path} cannot be read as lines of JSON: {reason}") from error


def ask_of_line(line: str, place: str) -> Ask | Failure:
    """What one line of JSON asks.

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
    for key in ("passage", "question"):
        if not isinstance(value.get(key), str):
            return Failure(place, f"{key!r} must be a text, got {json.dumps(value.get(key))[:60]}")
    name = "" if value.get("id") is None else str(value["id"])
    return Ask(*(SURROGATE.sub("\ufffd", text) for text in (value["passage"], value["question"], name)))


def read_passage(path: str | Path) -> str:
    """The text of a file.

    Raises:
        DataError: If it cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding=_ENCODING)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
