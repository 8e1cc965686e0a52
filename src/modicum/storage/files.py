"""Files that a crash never leaves half written, and JSON whose errors name the place."""

import io
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from modicum.storage.errors import DataError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
_PIECE_BYTES = 2**20


def is_leftover(path: Path) -> bool:
    """Tells whether ``path`` is the temporary file of a process that was killed while writing."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def write_atomically(path: str | Path, data: bytes | str | Sequence[bytes | memoryview]) -> None:
    """Writes a whole file so that readers see the old or the new content and nothing between, even after a crash.

    Args:
        path: The file to replace or to create; missing parent folders are made.
        data: The content, or its pieces in order; text is written as UTF-8, its line ends as they are.
    """
    pieces = [data.encode()] if isinstance(data, str) else [data] if isinstance(data, bytes) else data
    path = Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, hence on the same file system: only there is renaming atomic.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could keep the new name and lose the bytes behind it
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Adds the name of the file being written to system errors in the block: a full disk names none.

    Raises:
        OSError: As the block did, of the same kind and number, with ``path`` as its ``filename``.
    """
    try:
        yield
    except OSError as error:
        is_named = error.filename is not None and not is_leftover(Path(os.fsdecode(error.filename)))
        if is_named or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_at_most(stream: io.BufferedIOBase, most_bytes: int) -> bytes:
    """Returns the rest of a stream, or its first ``most_bytes + 1`` bytes if it is longer.

    Takes memory for what is there, not for the bound, which `read` itself sets aside at once.
    """
    content = bytearray()
    while len(content) <= most_bytes and (piece := stream.read(min(_PIECE_BYTES, most_bytes + 1 - len(content)))):
        content += piece
    return bytes(content)


def dump_json(value: JSON, *, indent: int | None = None) -> str:
    """Returns JSON text that any parser reads: keys in the order given, letters unescaped, no NaN or infinity.

    Args:
        value: Plain data; a tuple becomes a list.
        indent: Spaces per level; ``None`` puts all on one line.

    Raises:
        ValueError: If the value holds NaN, infinity, or a value that JSON cannot represent.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not plain JSON data: {error} (write NaN and infinity as null)") from error
    # File names that are not UTF-8 reach Python as lone surrogates; JSON's own escape for them is spelt like Python's.
    return text.encode("utf-8", "backslashreplace").decode()


def write_json(path: str | Path, value: JSON) -> None:
    """Writes readable JSON atomically: keys in the order given, two spaces per level, a newline at the end.

    Raises:
        ValueError: If the value holds NaN, infinity, or something that JSON cannot say; the old file stays.
    """
    try:
        text = dump_json(value, indent=2)
    except ValueError as error:
        raise ValueError(f"cannot write {path}: {error}") from error
    write_atomically(path, text + "\n")


def read_json(path: str | Path) -> JSON:
    """Reads the content of a JSON file.

    Raises:
        DataError: If the file is missing, or is not JSON; the message names line and column.
    """
    return _parse(_read_bytes(Path(path)), path)


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file that holds one object (``{...}``).

    Raises:
        DataError: If the file is missing, is not JSON, or holds anything other than an object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} must hold a JSON object, {{...}}, but holds a {type(value).__name__}")
    return value


def append_jsonl(path: str | Path, row: Mapping[str, JSON]) -> None:
    """Appends one row to a file of JSON lines, in one write.

    A half line that a killed process left at the end is dropped first. NaN and infinite values become ``null``: JSON
    has no word for them, and a log must not stop a run.

    Raises:
        ValueError: If a value is not plain JSON data.
    """
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    line = dump_json(finite).encode() + b"\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a+b") as file:
        _mend_end(file)
        file.write(line)


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Reads the rows of a file of JSON lines; drops a last line that was cut off by a kill.

    Raises:
        DataError: If the file is missing, or another line is not a JSON object; the message names the line.
    """
    lines = _read_bytes(Path(path)).split(b"\n")
    complete, last = lines[:-1], lines[-1]  # `last` is empty unless the file lacks its final newline
    if _is_object(last):
        complete.append(last)  # only its newline was lost
    return [_parse_row(line, path, number) for number, line in enumerate(complete, start=1)]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse(data: bytes, path: str | Path, first_line: int = 1) -> JSON:
    try:
        value: JSON = json.loads(data.decode())
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(f"{path} is not valid JSON: {error.msg} at line {line}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise DataError(f"{path} is not valid JSON: not UTF-8 at line {line}, byte column {column}") from error
    except RecursionError as error:
        raise DataError(f"{path} is not usable JSON: it is nested too deeply") from error
    except ValueError as error:
        raise DataError(f"{path} is not usable JSON: a number in it has too many digits") from error
    return value


def _parse_row(data: bytes, path: str | Path, number: int) -> dict[str, Any]:
    row = _parse(data, path, number)
    if not isinstance(row, dict):
        raise DataError(f"{path} line {number} must hold a JSON object, {{...}}, but holds a {type(row).__name__}")
    return row


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _mend_end(file: BinaryIO) -> None:
    """Ends an open file of JSON lines with a newline: a whole last row gets its own, half a row goes."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if _is_object(content[start:]):
        file.write(b"\n")
    else:
        file.truncate(start)
