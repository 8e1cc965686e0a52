"""Images in uncompressed tar archives, read in place."""

from pathlib import Path, PurePosixPath
from typing import final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.sources import Entry, ImageSource, label_entries
from modicum.datasets.contents import content_digest
from modicum.datasets.listings import Listing, list_archives
from modicum.datasets.sources import SPLIT_NAMES
from modicum.imaging.decoding import decode_pixels
from modicum.storage.errors import DataError, first_few


@final
class TarImages(ImageSource):
    """Images in one uncompressed tar, or in ``train.tar``, ``test.tar`` (and ``val.tar``) of a folder.

    The class of ``<class>/<name>`` is the folder that holds the image; of a member without a folder it is the text
    before the first underscore.

    Args:
        path: A tar archive, or a folder that holds split archives or exactly one archive.

    Raises:
        DataError: If there is no archive, it is compressed, damaged or without images, or a member names no class.
    """

    def __init__(self, path: str | Path) -> None:
        root = Path(path)
        self.origin = str(root)
        archives = _archives(root)
        self._listing = list_archives(archives)
        found = [entry for folder, archive in archives.items() for entry in _entries(self._listing, folder, archive)]
        self.classes, self.records = label_entries(found, self.origin)
        self.unread = self._listing.unread
        self.name = f"{len(found):,} images of {len(self.classes)} classes in the tar archive(s) of {root.name}"

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the pixels; see `ImageSource.pixels`."""
        return decode_pixels(self._listing.read(self.records[index].id))

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(self._listing.read(self.records[index].id))


def archives_in(folder: Path) -> list[Path]:
    """Lists the archives of a folder that make up one image set: those named after a split, else the only one."""
    tars = sorted(file for file in folder.glob("*.tar") if not file.name.startswith("."))
    named = [file for file in tars if file.stem.lower() in SPLIT_NAMES]
    return named or (tars if len(tars) == 1 else [])


def _archives(root: Path) -> dict[str, Path]:
    """Maps each split name, as spelt, to its archive; the only one is ``""`` if it is not named after a split."""
    if root.is_file():
        return {"": root}
    found = archives_in(root) if root.is_dir() else []
    if not found:
        raise DataError(f"{root} is neither a tar archive nor a folder with train.tar and test.tar")
    return {file.stem if file.stem.lower() in SPLIT_NAMES else "": file for file in found}


def _entries(listing: Listing, folder: str, archive: Path) -> list[Entry]:
    places = [place for place in map(PurePosixPath, listing.images) if place.is_relative_to(folder)]
    if not places:
        raise DataError(f"{archive} holds no images")
    split = SPLIT_NAMES.get(folder.lower())
    return [Entry(str(place), _class_of(place.relative_to(folder), archive), split) for place in places]


def _class_of(place: PurePosixPath, archive: Path) -> str:
    if place.parent.name:
        return place.parent.name
    name, underscore, _ = place.name.partition("_")
    if not name or not underscore:
        raise DataError(
            f"{archive}: member {first_few([str(place)])} names no class: expected <class>/<name> or <class>_<name>"
        )
    return name
