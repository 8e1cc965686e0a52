"""Unlabelled images: a folder at any depth, a tar, or one file."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.listings import Listing, list_archives, list_folder
from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import IMAGE_SUFFIXES, count_suffixes, is_image_name
from modicum.storage.errors import DataError


@dataclass(frozen=True)
class StoredImage:
    """An image that can be read. It can be pickled.

    Attributes:
        id: Its name, unique in its set and the same on every machine.
        content: Gives the bytes of its file; raises `BadImageError`.
        split: What the set itself uses it for; None where it does not say.
    """

    id: str
    content: Callable[[], bytes]
    split: Part | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """Returns the image upright, (H, W, 3) RGB; raises `BadImageError`."""
        return decode_pixels(self.content())


@dataclass(frozen=True)
class ImageSet:
    """Images of any sizes.

    Attributes:
        name: One line on what the set is.
        origin: The path it was read from, or ``"embedded:"`` and a name.
        records: The images, in an order that does not depend on the machine.
        unread: Files beside them that may be pictures, but have no suffix that is read.
    """

    name: str
    origin: str
    records: tuple[StoredImage, ...]
    unread: tuple[str, ...] = ()


def read_images(data: str | Path) -> ImageSet:
    """Returns the images at a path; those under ``train``, ``val`` or ``test`` belong to that part.

    Args:
        data: A folder of images at any depth, an uncompressed tar of images, or one image file.

    Raises:
        DataError: If nothing is there, or no image is in it.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        return _listed(path, list_folder(path))
    if not path.is_file():
        raise DataError(f"{data} does not exist; data can be a folder of images, a .tar of images, or an image file")
    if path.suffix.lower() == ".tar":
        return _listed(path, list_archives({"": path}))
    if is_image_name(path.name):
        return ImageSet(path.name, str(path), _stored(Listing({path.name: path})))
    raise DataError(f"{path} is neither a .tar nor an image file ({' '.join(IMAGE_SUFFIXES)})")


def _listed(path: Path, listing: Listing) -> ImageSet:
    images, unread = _stored(listing), listing.unread
    if not images:
        found = f", but {count_suffixes(unread)}" if unread else ""
        raise DataError(f"{path} holds no image ({' '.join(IMAGE_SUFFIXES)}){found}")
    return ImageSet(f"{len(images):,} images of {path.name or path}", str(path), images, unread)


def _stored(listing: Listing) -> tuple[StoredImage, ...]:
    return tuple(StoredImage(name, partial(listing.read, name), _part_of(name)) for name in listing.images)


def _part_of(name: str) -> Part | None:
    folder, slash, _ = name.partition("/")
    return SPLIT_NAMES.get(folder.lower()) if slash else None
