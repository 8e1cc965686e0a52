"""Files of a folder, or members of uncompressed tar archives, under one kind of name."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import final

from modicum.imaging.archives import Extent, list_members, read_extent
from modicum.imaging.files import is_image_name, is_left_out, read_content
from modicum.storage.errors import DataError


@final
class Listing:
    """Files by name; listings can be pickled, and read from many threads and processes at once.

    Args:
        places: Where the bytes of each file are, by its relative path with ``/``; hidden ones are left out.

    Attributes:
        names: The relative paths, sorted.
    """

    def __init__(self, places: Mapping[str, Path | Extent]) -> None:
        self._places = {name: place for name, place in sorted(places.items()) if not _is_hidden(name)}
        self.names = tuple(self._places)

    def read(self, name: str) -> bytes:
        """Reads the bytes of a file; raises `BadImageError` if they cannot be read."""
        place = self._places[name]
        return read_content(place) if isinstance(place, Path) else read_extent(place)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(name for name in self.names if is_image_name(PurePosixPath(name).name))

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the files that may be pictures, but have no suffix that is read."""
        return tuple(name for name in self.names if is_left_out(PurePosixPath(name).name))


def list_folder(root: Path) -> Listing:
    """Lists the files below a folder."""
    return Listing({file.relative_to(root).as_posix(): file for file in root.rglob("*") if not file.is_dir()})


def list_archives(archives: Mapping[str, Path]) -> Listing:
    """Lists the members of uncompressed tar archives; the last one of a name counts, as on extraction.

    Nothing is extracted, so member names can do no harm. Every read opens the archive anew (about 10 microseconds on a
    local disk), so that threads, workers and pickles have no handle to share.

    Args:
        archives: Each archive by the folder under which its members are listed; ``""`` for none.

    Raises:
        DataError: If an archive is damaged or compressed.
    """
    return Listing(
        {
            str(PurePosixPath(folder, member.name.lstrip("/"))): Extent(archive, member.offset_data, member.size)
            for folder, archive in archives.items()
            for member in list_members(archive)
        }
    )


def list_files(path: Path, expected: str) -> Listing:
    """Lists the files at a path: a folder, a folder of ``.tar`` archives, or one archive.

    Args:
        path: The path; members of archives are listed under the names of their archives.
        expected: What the message says to give.

    Raises:
        DataError: If there is nothing there, or something else.
    """
    if path.is_dir():
        archives = sorted(file for file in path.glob("*.tar") if not file.name.startswith("."))
        return list_archives({file.stem: file for file in archives}) if archives else list_folder(path)
    if path.is_file() and path.suffix.lower() == ".tar":
        return list_archives({path.stem: path})
    fault = "is neither a folder nor an uncompressed .tar" if path.exists() else "does not exist"
    raise DataError(f"{path} {fault}: give {expected}")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
