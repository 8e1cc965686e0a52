"""Image files: which count, how they are found and read, and what becomes of one that cannot be."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Literal

from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError
from modicum.storage.names import printable

SPLIT_NAMES = {
    "train": "train",
    "val": "calibration",
    "valid": "calibration",
    "validation": "calibration",
    "calibration": "calibration",
    "test": "test",
}
"""The names that sets give to their parts, and what we call that part."""

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""File names that count as images, in lower case; the comparison ignores case."""


@dataclass(frozen=True)
class Failure:
    """An input that could not be read, or whose output could not be written.

    Attributes:
        name: Its path, or its place among the inputs.
        reason: Why.
        fault: What could not be done.
    """

    name: str
    reason: str
    fault: Literal["not read", "not written"] = "not read"

    def __str__(self) -> str:
        return f"{printable(self.name)}: {self.fault}: {printable(self.reason)}"

    def to_json(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return {"name": self.name, "error": self.reason}


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image: a known suffix, and not hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def read_content(path: Path) -> bytes:
    """All bytes of an image file; raises `BadImageError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error


def content_digest(content: bytes) -> str:
    """32 hexadecimal digits that differ for different content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def expand_inputs(inputs: Iterable[str | Path]) -> list[Path]:
    """The files that a user means: files as they are, the images of folders (deep), and what glob patterns match.

    Raises:
        DataError: If a folder or pattern holds no image; a missing file is left to be reported as unreadable.
    """
    files: list[Path] = []
    for entry in inputs:
        path = Path(entry)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if is_image_name(file.name))
        elif not path.exists() and any(sign in str(entry) for sign in "*?["):
            found = [Path(match) for match in sorted(glob(str(entry), recursive=True))]  # noqa: PTH207  ** and / alike
        else:
            found = [path]
        if not found:
            raise DataError(
                f"{entry} holds no image: give image files, a folder of them, or a pattern that matches some"
            )
        files += found
    return files
