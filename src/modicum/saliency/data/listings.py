"""Files of a folder, or members of uncompressed tar archives, under one kind of name."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

from modicum.imaging.archives import Extent, list_members, read_extent
from modicum.imaging.files import read_content
from modicum.storage.errors import DataError


class Listing(ABC):
    """Files by name; listings can be pickled, and read from many threads and processes at once.

    Attributes:
        names: Relative paths with ``/``, sorted.
    """

    names: tuple[str, ...]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of a file; raises `BadImageError` where they cannot be read."""


@final
class FolderListing(Listing):
    """The files below a folder, hidden ones left out."""

    def __init__(self, root: Path) -> None:
        self._root = root
        found = (file.relative_to(root) for file in root.rglob("*") if file.is_file())
        self.names = tuple(sorted(file.as_posix() for file in found if not _is_hidden(file.as_posix())))

    def read(self, name: str) -> bytes:
        """See `Listing.read`."""
        return read_content(self._root / name)


@final
class TarListing(Listing):
    """The members of archives, each under the name of its archive; nothing is extracted.

    Raises:
        DataError: If an archive is damaged or compressed.
    """

    def __init__(self, archives: list[Path]) -> None:
        self._extents = {
            f"{archive.stem}/{member.name.removeprefix('./')}": Extent(archive, member.offset_data, member.size)
            for archive in archives
            for member in list_members(archive)
            if not _is_hidden(member.name.removeprefix("./"))
        }
        self.names = tuple(sorted(self._extents))

    def read(self, name: str) -> bytes:
        """See `Listing.read`."""
        return read_extent(self._extents[name])


def list_files(path: Path) -> Listing:
    """The files that stand at a path: a folder, a folder of ``.tar`` archives, or one archive.

    Raises:
        DataError: If there is nothing there, or something else.
    """
    if path.is_dir():
        archives = sorted(file for file in path.glob("*.tar") if not file.name.startswith("."))
        return TarListing(archives) if archives else FolderListing(path)
    if path.is_file() and path.suffix.lower() == ".tar":
        return TarListing([path])
    fault = "is neither a folder nor an uncompressed .tar" if path.exists() else "does not exist"
    raise DataError(f"{path} {fault}: give a folder with images/ and masks/, or such a .tar")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
