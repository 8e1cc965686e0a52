"""Members of uncompressed tar archives, read in place."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError


class Extent(NamedTuple):
    """Where the bytes of a member stand in its archive, which is opened anew for each read."""

    archive: Path
    offset: int
    size: int


def list_members(archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the files of an uncompressed tar archive, in order; raises `DataError` if it is damaged or compressed."""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isreg():
                    yield member
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"{archive} cannot be read: {error}; it must be a complete, uncompressed tar archive"
        ) from error


def read_member(archive: Path, offset: int, size: int) -> bytes:
    """Reads the bytes of a member at an offset; raises `OSError`, also if the archive ends early."""
    with archive.open("rb") as stream:
        stream.seek(offset)
        content = stream.read(size)
    if len(content) < size:
        raise OSError(f"{archive.name} ends {size - len(content)} bytes too early")
    return content


def read_extent(extent: Extent) -> bytes:
    """Reads the bytes of a member; raises `BadImageError` if they cannot be read."""
    try:
        return read_member(*extent)
    except OSError as error:
        raise BadImageError(f"cannot be read: {error}") from error
