"""Images in uncompressed tar archives, read in place."""

from pathlib import Path, PurePosixPath
from typing import final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.sources import Entry, ImageSource, label_entries
from modicum.imaging.archives import Extent, list_members, read_extent
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import SPLIT_NAMES, content_digest, is_image_name, is_left_out
from modicum.storage.errors import DataError, first_few


@final
class TarImages(ImageSource):
    """Images in one uncompressed tar, or in ``train.tar``, ``test.tar`` (and ``val.tar``) of a folder.

    The class of ``<class>/<name>`` is the folder that holds the image; of a member without a folder it is the text
    before the first underscore. Nothing is extracted, so member names can do no harm. Every read opens the archive anew
    (about 10 microseconds on a local disk), so that threads, workers and pickles have no handle to share.

    Args:
        path: A tar archive, or a folder that holds split archives or exactly one archive.

    Raises:
        DataError: If there is no archive, it is compressed, damaged or without images, or a member names no class.
    """

    def __init__(self, path: str | Path) -> None:
        root = Path(path)
        self.origin = str(root)
        members = [member for archive, split in _archives(root) for member in _members(archive, split)]
        self.classes, self.records = label_entries([entry for entry, _ in members], self.origin)
        self._extents = [extent for _, extent in members]
        self.unread = tuple(name for archive, _ in _archives(root) for name in _unread(archive))
        self.name = f"{len(members):,} images of {len(self.classes)} classes in the tar archive(s) of {root.name}"

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `ImageSource.pixels`."""
        return decode_pixels(read_extent(self._extents[index]))

    def digest(self, index: int) -> str:
        """See `ImageSource.digest`."""
        return content_digest(read_extent(self._extents[index]))


def archives_in(folder: Path) -> list[Path]:
    """The archives of a folder that make up one image set: those named after a split, else the only one there is."""
    tars = sorted(file for file in folder.glob("*.tar") if not file.name.startswith("."))
    named = [file for file in tars if file.stem.lower() in SPLIT_NAMES]
    return named or (tars if len(tars) == 1 else [])


def _archives(root: Path) -> list[tuple[Path, str | None]]:
    if root.is_file():
        return [(root, None)]
    found = archives_in(root) if root.is_dir() else []
    if not found:
        raise DataError(f"{root} is neither a tar archive nor a folder with train.tar and test.tar")
    return [(file, SPLIT_NAMES.get(file.stem.lower())) for file in found]


def _members(archive: Path, split: str | None) -> list[tuple[Entry, Extent]]:
    found: dict[str, tuple[Entry, Extent]] = {}
    for member in list_members(archive):
        place = PurePosixPath(member.name)
        if not is_image_name(place.name) or _is_hidden(place):
            continue
        name = f"{archive.stem}/{place}" if split else str(place)
        # A later member of the same name replaces the earlier one, as it would on extraction.
        found[name] = (Entry(name, _class_of(place, archive), split), Extent(archive, member.offset_data, member.size))
    if not found:
        raise DataError(f"{archive} holds no images")
    return [found[name] for name in sorted(found)]


def _unread(archive: Path) -> list[str]:
    places = (PurePosixPath(member.name) for member in list_members(archive))
    return [str(place) for place in places if is_left_out(place.name) and not _is_hidden(place)]


def _is_hidden(place: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _class_of(place: PurePosixPath, archive: Path) -> str:
    if place.parent.name:
        return place.parent.name
    name, underscore, _ = place.name.partition("_")
    if not name or not underscore:
        raise DataError(
            f"{archive}: member {first_few([str(place)])} names no class: expected <class>/<name> or <class>_<name>"
        )
    return name
