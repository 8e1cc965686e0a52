"""JSON whose errors name line and column, written plain or compressed; and typed access that names the field."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from modicum.storage.errors import DataError
from modicum.storage.files import JSON, dump_json, write_atomically


def parse_json(text: str, path: str | Path) -> "Node":
    """Parses a JSON text.

    Args:
        text: The JSON.
        path: The file that it stands in, for messages.

    Raises:
        DataError: If it is not JSON; the message names line and column.
    """
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
    """A value in a file, as JSON has them, together with its place, for messages.

    Args:
        value: The value.
        place: The file, and the path to the value in it.
    """

    def __init__(self, value: Any, place: str) -> None:  # noqa: ANN401  any JSON
        self.value, self.place = value, place

    def get(self, key: str) -> "Node":
        """Returns a field of an object; its value is None if the field is missing."""
        if not isinstance(self.value, Mapping):
            raise self._wrong("an object, {...}")
        return Node(self.value.get(key), f"{self.place}.{key}")

    def has(self, key: str) -> bool:
        """Tells whether this is an object with a value in this field."""
        return isinstance(self.value, Mapping) and self.value.get(key) is not None

    def items(self) -> Iterator["Node"]:
        """Iterates over the elements of a list."""
        if not isinstance(self.value, list):
            raise self._wrong("a list, [...]")
        return (Node(value, f"{self.place}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        """Returns the value as text."""
        if not isinstance(self.value, str):
            raise self._wrong("text")
        return self.value

    def number(self) -> float:
        """Returns the value as a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._wrong("a number")
        return self.value

    def _wrong(self, expected: str) -> DataError:
        found = "missing" if self.value is None else f"a {type(self.value).__name__}"
        return DataError(f"{self.place} must be {expected}, but is {found}")
