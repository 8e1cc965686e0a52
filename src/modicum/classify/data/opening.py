"""Finds the reader for what a user names: nothing, a folder, a CSV file, or an archive."""

from pathlib import Path

from modicum.classify.data.archives import TarImages, archives_in
from modicum.classify.data.caltech import CaltechPhotographs
from modicum.classify.data.cifar import CifarImages, find_cifar
from modicum.classify.data.folders import ImageFolder, IndexFile
from modicum.classify.data.scenes import DigitScenes
from modicum.classify.data.sources import ImageSource
from modicum.classify.recipe import EMBEDDED, PHOTOGRAPHS
from modicum.storage.errors import DataError, first_few

_ACCEPTED = (
    "a folder of class folders (or of train, val, test with class folders), a folder of CIFAR files, "
    "an uncompressed .tar or a folder with train.tar and test.tar, a .csv file with the columns path,label[,split], "
    f"or the embedded {PHOTOGRAPHS!r} or {EMBEDDED!r}"
)


def open_source(data: str | None, *, side: int | None = None) -> ImageSource:
    """Opens the image set that ``data`` names with the reader that fits it.

    Args:
        data: A path, or an embedded set: ``"caltech-20"``, photographs, or ``"digits-scenes"``, which None means too.
        side: Side of the embedded scenes, px, 48 unless given; photographs and files have their own sizes.

    Raises:
        DataError: If it does not exist or cannot be read; the message says what was found and what is accepted.
    """
    if data is None or data == EMBEDDED:
        return DigitScenes() if side is None else DigitScenes(side=side)
    if data == PHOTOGRAPHS:
        return CaltechPhotographs()
    path = Path(data).expanduser()
    if path.is_file():
        return _open_file(path)
    if path.is_dir():
        return _open_folder(path)
    raise DataError(f"{data} does not exist; data can be {_ACCEPTED}")


def _open_file(path: Path) -> ImageSource:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return IndexFile(path)
    if suffix == ".tar":
        return TarImages(path)
    raise DataError(f"{path} is a {suffix or 'nameless'} file; data can be {_ACCEPTED}")


def _open_folder(path: Path) -> ImageSource:
    if find_cifar(path):
        return CifarImages(path)
    if archives_in(path):
        return TarImages(path)
    if any(item.is_dir() and not item.name.startswith(".") for item in path.iterdir()):
        return ImageFolder(path)
    content = sorted(item.name for item in path.iterdir())
    found = first_few(content) if content else "nothing"
    raise DataError(f"{path} holds {found}; data can be {_ACCEPTED}")
