"""The embedded photographs: 20 classes of Caltech 101, some easy to tell apart at a glance and some not.

`benchmarks/embedded_photographs.py` chose and packed them, and says by which rules.
"""

import csv
import io
import zipfile
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.sources import Entry, ImageSource, label_entries
from modicum.classify.recipe import PHOTOGRAPHS
from modicum.datasets.contents import content_digest
from modicum.datasets.sources import SPLIT_NAMES
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import is_image_name
from modicum.storage.errors import DataError

SHORT_SIDE = 192
"""Short side of every photograph, px."""
INDEX = "index.csv"
"""Member of the archive that lists the photographs: path, label and split, as an index file of the user's own does."""
TERMS = "ATTRIBUTION.txt"
"""Member of the archive that says whose the photographs are, and on which terms they may be used."""
AUTHORS = "Fei-Fei Li, Marco Andreetto, Marc'Aurelio Ranzato and Pietro Perona"
SOURCE = "https://doi.org/10.22002/D1.20086"
LICENCE = "CC BY 4.0"


@final
class CaltechPhotographs(ImageSource):
    """Photographs of 20 classes of Caltech 101 with fixed train, calibration and test parts.

    Each has its natural aspect ratio and a short side of 192 px. Ids are ``<class>/<number>.webp``, with
    class and number as in Caltech 101. The calibration and the test part have 15 photographs of each class. The files,
    8 MB, are read once per process and stay in memory.

    Raises:
        DataError: If the archive in the package is missing or damaged.
    """

    def __init__(self) -> None:
        self.origin = f"embedded:{PHOTOGRAPHS}"
        rows = csv.DictReader(io.StringIO(_read_archive()[INDEX].decode()))
        entries = [Entry(row["path"], row["label"], SPLIT_NAMES[row["split"]]) for row in rows]
        self.classes, self.records = label_entries(entries, self.origin)
        self.name = (
            f"{len(entries):,} photographs of {len(self.classes)} classes of Caltech 101 by {AUTHORS}, {LICENCE}, "
            f"{SOURCE}, reduced to {SHORT_SIDE} px"
        )

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the pixels; see `ImageSource.pixels`."""
        return decode_pixels(_read_archive()[self.records[index].id])

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(_read_archive()[self.records[index].id])


def photograph_names() -> list[str]:
    """Lists the embedded photographs without reading them; raises `DataError` if there is no sound archive."""
    try:
        with archive_file().open("rb") as stream, zipfile.ZipFile(stream) as archive:
            return [name for name in archive.namelist() if is_image_name(name)]
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(error) from error


def archive_file() -> Traversable:
    """Returns the archive of the photographs in the installed package, which may itself be in a zip file."""
    return resources.files(__package__).joinpath("embedded", f"{PHOTOGRAPHS}.zip")


@cache  # not on the source: a source is pickled for every worker
def _read_archive() -> dict[str, bytes]:
    """Reads all members of the archive by their names, and compares their checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive_file().read_bytes())) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> DataError:
    return DataError(f"the embedded photographs, {archive_file()}, cannot be read: {error}; reinstall modicum")
