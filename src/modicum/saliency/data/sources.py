"""What every set of images with masks looks like to the rest of the wing, whatever it comes from."""

# H W size of a picture in px
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.contents import content_digest, sample_digest
from modicum.datasets.listings import Listing, list_files
from modicum.datasets.sources import Record
from modicum.imaging.decoding import decode_pixels
from modicum.saliency.data.masks import decode_mask
from modicum.saliency.data.pairs import LISTS, Pair, assign_lists, find_pairs

HALF = 128  # of 8 bits: a graded mask is cut where at least half of the annotators agree


class MaskedImage(NamedTuple):
    """An image and what is salient in it."""

    pixels: NDArray[np.uint8]  # (H, W, 3), RGB
    mask: NDArray[np.uint8]  # (H, W), 255 is salient; soft values at edges are kept


class PairSource(ABC):
    """A set of images with masks. Sources can be pickled, and read from many threads and processes at once.

    Attributes:
        name: One line on what the set is.
        records: The images, in an order that does not depend on the machine.
        origin: The path it was read from, or ``"embedded:procedural-scenes"``.
        unread: Files beside the images that may be pictures, but have no suffix that is read.
    """

    name: str
    records: Sequence[Record]
    origin: str
    unread: tuple[str, ...] = ()

    @abstractmethod
    def pair(self, index: int) -> MaskedImage:
        """Returns image and mask ``index`` at their own sizes; raises `BadImageError`."""

    @abstractmethod
    def digest(self, index: int) -> str:
        """Returns a short hash of the content of image ``index``, equal for copies; raises `BadImageError`."""

    @abstractmethod
    def content(self, index: int) -> str:
        """Returns a short hash of image ``index`` and its mask, to detect changes; raises `BadImageError`."""


@final
class FilePairs(PairSource):
    """Images and masks in files or uncompressed tar archives, in one of the layouts of `pairs.LAYOUTS`.

    Args:
        path: A folder, a folder of archives, or an archive.

    Raises:
        DataError: If there is nothing of the kind, or images and masks do not pair off.
    """

    def __init__(self, path: str | Path) -> None:
        root = Path(path)
        self.origin = str(root)
        self._listing = list_files(root, "a folder with images/ and masks/, or such a .tar")
        self.unread = self._listing.unread
        pairs = find_pairs(self._listing.names, self.origin)
        self._pairs = assign_lists(pairs, _read_lists(self._listing), self.origin)
        self.records = tuple(Record(pair.image, pair.split) for pair in self._pairs)
        self.name = f"{len(self._pairs):,} images with masks in {root.resolve().name}"

    def pair(self, index: int) -> MaskedImage:
        """Returns the decoded image and mask; see `PairSource.pair`."""
        pair = self._pairs[index]
        return MaskedImage(decode_pixels(self._listing.read(pair.image)), self._mask(pair))

    def digest(self, index: int) -> str:
        """Returns the digest of the image; see `PairSource.digest`."""
        return content_digest(self._listing.read(self._pairs[index].image))

    def content(self, index: int) -> str:
        """Returns the digest of image and mask; see `PairSource.content`."""
        pair = self._pairs[index]
        return sample_digest(self._listing.read(pair.image), self._listing.read(pair.mask))

    def _mask(self, pair: Pair) -> NDArray[np.uint8]:
        mask = decode_mask(self._listing.read(pair.mask))
        return np.where(mask >= HALF, 255, 0).astype(np.uint8) if pair.is_graded else mask


def _read_lists(listing: Listing) -> dict[str, str]:
    paths = (name for name in listing.names if PurePosixPath(name).name in LISTS)
    return {path: listing.read(path).decode("utf-8", "replace") for path in paths}
