"""JSON files, plain or compressed by gzip, whose errors name line and column; and typed access that names the field."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from modicum.storage.errors import DataError
from modicum.storage.files import JSON, dump_json, write_atomically

GZIP_MAGIC = b"\x1f\x8b"


def read_json_file(path: str | Path) -> "Node":
    """The content of a JSON file; gzip is known by the content, not by the name.

    Raises:
        DataError: If it cannot be read, is truncated, or is not JSON; the message names line and column.
    """
    text = _read_text(Path(path))
    try:
        return Node(json.loads(text), str(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path} is not usable JSON: it is nested too deeply") from error
    except ValueError as error:
        raise DataError(f"{path} is not usable JSON: a number in it has too many digits") from error


def write_json_file(path: str | Path, value: JSON) -> None:
    """Writes JSON atomically, by gzip if the name ends with ``.gz``; equal content makes equal bytes."""
    content = dump_json(value).encode() + b"\n"
    write_atomically(path, gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


@final
class Node:
    """A value in a JSON file together with its place, for messages.

    Args:
        value: The value.
        place: The file, and the path to the value in it.
    """

    def __init__(self, value: Any, place: str) -> None:  # noqa: ANN401  any JSON
        self.value, self.place = value, place

    def get(self, key: str) -> "Node":
        """The field of an object; its value is None if it is missing."""
        if not isinstance(self.value, Mapping):
            raise self._wrong("an object, {...}")
        return Node(self.value.get(key), f"{self.place}.{key}")

    def items(self) -> Iterator["Node"]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self._wrong("a list, [...]")
        return (Node(value, f"{self.place}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            raise self._wrong("text")
        return self.value

    def number(self) -> float:
        """The value as a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._wrong("a number")
        return self.value

    def _wrong(self, expected: str) -> DataError:
        found = "missing" if self.value is None else f"a {type(self.value).__name__}"
        return DataError(f"{self.place} must be {expected}, but is {found}")


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}; get it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return content.decode("utf-8-sig")  # editors of one system put a byte order mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise DataError(f"{path} is not valid JSON: not UTF-8 at line {line}, byte column {column}") from error
