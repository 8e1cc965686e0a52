"""Reads files of questions in any layout: JSON, JSON lines, CSV and Parquet, each as a list of elements.

An element is an article of SQuAD's, one of its paragraphs, or a row with one question. The content decides, not the
name; only a name that ends with ``.json`` promises JSON.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from modicum.reading.data.json_files import Node, parse_json
from modicum.reading.data.regular_files import decode, read_regular
from modicum.storage.errors import DataError, MissingExtraError, first_few

SUFFIXES = ".json, .jsonl, .ndjson, .csv, .tsv (each also .gz) or .parquet"
"""Suffixes of files of questions, for messages."""

PASSAGE_NAMES = ("context", "passage", "paragraph")
"""Names of the column that holds the passage."""

_QUESTION = "question"
_NAME = re.compile(r"\.((json|jsonl|ndjson|csv|tsv)(\.gz)?|parquet)$", re.IGNORECASE)
_JSON_NAME = re.compile(r"\.json(\.gz)?$", re.IGNORECASE)
_PARQUET_MAGIC = b"PAR1"
_SEPARATORS = (",", ";", "\t", "|")


class Content(NamedTuple):
    """Holds the content of a file."""

    elements: list[Node]
    version: str | None  # what the file says of itself


def is_question_file(name: str) -> bool:
    """Tells whether a file of this name may hold questions."""
    return _NAME.search(name) is not None


def read_content(path: str | Path) -> Content:
    """Reads the elements of a file of questions, plain or gzip-compressed.

    Raises:
        DataError: If it cannot be read, or is of no known layout; the message names the place.
        MissingExtraError: If it is Parquet, and pyarrow is not installed.
    """
    content = read_regular(path)
    if content.startswith(_PARQUET_MAGIC):
        return Content(_parquet_rows(content, path), None)
    text = decode(content, path)
    if _JSON_NAME.search(str(path)) or text.lstrip()[:1] in ("{", "["):
        return _json_elements(text, path)
    return Content(list(_csv_rows(text, path)), None)


def _json_elements(text: str, path: str | Path) -> Content:
    try:
        root = parse_json(text, path)
    except DataError:
        if (lines := _json_lines(text, path)) is None:
            raise
        return Content(lines, None)
    if isinstance(root.value, list):
        return Content(list(root.items()), None)
    said = root.get("version").value
    is_element = any(root.has(key) for key in ("paragraphs", "qas", _QUESTION))
    elements = [root] if is_element and not root.has("data") else list(root.get("data").items())
    return Content(elements, None if said is None else str(said))


def _json_lines(text: str, path: str | Path) -> list[Node] | None:
    """Returns an object per line; None unless most lines are one. A damaged line is kept as text."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    found = [Node(_loaded(line), f"{path}:{number}") for number, line in lines]
    return found if 2 * sum(isinstance(node.value, Mapping) for node in found) > len(found) > 1 else None


def _loaded(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _csv_rows(text: str, path: str | Path) -> Iterator[Node]:
    """Yields a mapping for each record; a record with more or fewer fields than columns is kept as a list."""
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        separator, names = _columns(text, path)
        records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        next(records)
        line = records.line_num + 1
        for record in records:
            if record:
                row = dict(zip(names, record, strict=True)) if len(record) == len(names) else record
                yield Node(row, f"{path}:{line}")
            line = records.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} is damaged at line {records.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _columns(text: str, path: str | Path) -> tuple[str, list[str]]:
    """Returns the separator that gives the first record the needed columns, and their names in lower case."""
    for separator in _SEPARATORS:
        record = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
        names = [name.strip().lower() for name in record]
        if _QUESTION in names and any(name in names for name in PASSAGE_NAMES):
            return separator, names
    first = next(csv.reader(io.StringIO(text, newline="")), [])
    raise DataError(
        f"{path} is no file of questions: a table needs the columns 'context' and 'question', but its first line has "
        f"{first_few([name[:40] for name in first]) or 'none'}"
    )


def _parquet_rows(content: bytes, path: str | Path) -> list[Node]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "graphs") from error
    try:
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (ValueError, OSError, NotImplementedError) as error:  # pyarrow derives its own from these
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error
    return [
        Node({str(name).strip().lower(): value for name, value in row.items()}, f"{path} row {number}")
        for number, row in enumerate(rows, start=1)
    ]
