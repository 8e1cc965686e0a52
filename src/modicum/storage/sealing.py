"""JSON files with a digest of their own content, so that damage is named instead of believed."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from modicum.storage.errors import DataError
from modicum.storage.files import JSON, dump_json, read_json_object, write_json

Record = TypeVar("Record")

DIGEST_KEY = "sha256"


def write_sealed(path: str | Path, content: Mapping[str, JSON]) -> None:
    """Writes an object as JSON, atomically, with a last key ``sha256`` over all the others.

    Raises:
        ValueError: If the content is not plain JSON data, or has a key of that name.
    """
    if DIGEST_KEY in content:
        raise ValueError(f"cannot write {path}: the key {DIGEST_KEY!r} is that of the file's own digest")
    write_json(path, {**content, DIGEST_KEY: digest_of(content)})


def read_sealed(path: str | Path, *, remedy: str) -> dict[str, Any]:
    """Reads what `write_sealed` wrote, without the digest.

    Args:
        path: The file.
        remedy: What the user can do if it is damaged; ends the message.

    Raises:
        DataError: If the file is missing, is not JSON, has no digest, or is not as it was written.
    """
    try:
        content = read_json_object(path)
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from error
    found = content.pop(DIGEST_KEY, None)
    if found is None:
        raise DataError(f"{path} {no_digest(path)}")
    if found != digest_of(content):
        raise DataError(f"{path} is not as it was written (its digest differs): {remedy}")
    return content


def parse_record(record: Callable[..., Record], content: Mapping[str, Any], path: str | Path, *, remedy: str) -> Record:
    """Calls ``record`` with the fields that a file holds by name; raises `DataError` if some are missing or unknown."""
    try:
        return record(**content)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} does not hold what it should ({error}): {remedy}") from error


def digest_of(content: Mapping[str, JSON]) -> str:
    """Returns the SHA-256 of plain JSON data; the order of keys and white space do not matter."""
    plain = json.loads(dump_json(content))  # tuples and keys as they will be read
    text = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def no_digest(path: str | Path) -> str:
    """Returns the advice, to follow the name of a file, on a missing digest."""
    return (
        "has no digest: an older modicum wrote it, or it was edited; if you trust it, take it over with: "
        f"modicum adopt {run_of(Path(path))}"
    )


def run_of(path: Path) -> Path:
    """Returns the run folder that contains a file, at any depth; the file itself if there is none."""
    return next((parent for parent in path.parents if (parent / "run.json").is_file()), path)
