"""Images in a folder tree, one folder per class, and images listed in a CSV file."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.sources import Entry, ImageSource, label_entries
from modicum.datasets.contents import content_digest
from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import (
    IMAGE_SUFFIXES,
    count_suffixes,
    is_image_name,
    is_left_out,
    read_content,
)
from modicum.storage.errors import DataError, first_few


@final
class ImageFolder(ImageSource):
    """Images under ``root/<class>/`` or ``root/{train,val,test}/<class>/``, at any depth below the class.

    Hidden files are ignored; files without an image suffix are named in ``unread``. ``valid``, ``validation`` and
    ``calibration`` are other names for ``val``.

    Args:
        root: Folder of class folders, or of split folders that hold class folders.

    Raises:
        DataError: If the folder is missing, holds no class folders, a class folder holds no images, split folders stand
            beside others, or the parts differ in their classes.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        if not self._root.is_dir():
            raise DataError(f"{self._root} is not a folder: give a folder with one sub-folder per class")
        found = list(_walk_tree(self._root))
        self.unread = tuple(
            sorted(file.relative_to(self._root).as_posix() for file in _files_below(self._root, is_left_out))
        )
        self.origin = str(self._root)
        self.classes, self.records = label_entries(found, self.origin)
        self.name = f"{len(found):,} images in {len(self.classes)} class folders of {self._root.name or self._root}"

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the pixels; see `ImageSource.pixels`."""
        return decode_pixels(read_content(self._root / self.records[index].id))

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(read_content(self._root / self.records[index].id))


@final
class IndexFile(ImageSource):
    """Images listed in a CSV file with the header ``path,label`` or ``path,label,split``.

    Paths are relative to the file. Splits are ``train``, ``val`` (or ``calibration``) and ``test``, given for all
    images or for none.

    Args:
        path: The CSV file, UTF-8.

    Raises:
        DataError: If the file is missing, its header lacks a column, or a line is unusable; the message names the line.
    """

    def __init__(self, path: str | Path) -> None:
        file = Path(path)
        self._folder = file.parent
        self.origin = str(file)
        found = _read_index(file)
        self.classes, self.records = label_entries(found, self.origin)
        self.name = f"{len(found):,} images of {len(self.classes)} classes listed in {file.name}"

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the pixels; see `ImageSource.pixels`."""
        return decode_pixels(read_content(self._folder / self.records[index].id))

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(read_content(self._folder / self.records[index].id))


def _walk_tree(root: Path) -> Iterator[Entry]:
    folders = _sub_folders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if not any(_sub_folders(folder) for folder in splits):  # none, or a class that is called "train": it holds images
        yield from _walk_classes(root, root, None)
        return
    if len(splits) < len(folders):
        others = sorted({folder.name for folder in folders} - {folder.name for folder in splits})
        raise DataError(
            f"{root} holds the split folder {splits[0].name!r} beside {first_few(others)}: give it either split "
            "folders (train, val, test) or class folders alone"
        )
    for folder in splits:
        yield from _walk_classes(root, folder, SPLIT_NAMES[folder.name.lower()])


def _walk_classes(root: Path, folder: Path, split: Part | None) -> Iterator[Entry]:
    class_folders = _sub_folders(folder)
    if not class_folders:
        raise DataError(
            f"{folder} holds no class folders: put the images of each class into a sub-folder named after the class"
        )
    for class_folder in class_folders:
        files = _files_below(class_folder, is_image_name)
        if not files:
            others = [file.name for file in _files_below(class_folder, is_left_out)]
            found = f" that are read, but {count_suffixes(others)}" if others else ""
            raise DataError(
                f"class folder {class_folder} holds no images{found}: add some ({' '.join(IMAGE_SUFFIXES)}) or "
                "remove it"
            )
        for file in files:
            yield Entry(file.relative_to(root).as_posix(), class_folder.name, split)


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files_below(folder: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend(Path(parent, name) for name in files if is_wanted(name))
    return sorted(found)


def _read_index(file: Path) -> list[Entry]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            return _read_rows(reader, file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is not a CSV file in UTF-8: {error}") from error


def _read_rows(reader: "csv.DictReader[str]", file: Path) -> list[Entry]:
    header = reader.fieldnames or []
    if not {"path", "label"} <= set(header):
        raise DataError(f"{file}, line 1: the header is {','.join(header)!r}, expected path,label or path,label,split")
    first_line: dict[str, int] = {}
    entries: list[Entry] = []
    for row in reader:
        line = reader.line_num
        entry = _read_row(row, file, line, with_split="split" in header)
        if entry.id in first_line:
            raise DataError(f"{file}, line {line}: {entry.id!r} stands on line {first_line[entry.id]} already")
        first_line[entry.id] = line
        entries.append(entry)
    return entries


def _read_row(row: dict[str, str | None], file: Path, line: int, *, with_split: bool) -> Entry:
    path, label, split = ((row.get(column) or "").strip() for column in ("path", "label", "split"))
    if not path or not label:
        raise DataError(f"{file}, line {line}: path {path!r} and label {label!r} must both be given")
    if with_split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"{file}, line {line}: split {split!r} is not one of {', '.join(SPLIT_NAMES)}")
    if not (file.parent / path).is_file():
        raise DataError(f"{file}, line {line}: there is no file {path!r} in {file.parent}")
    return Entry(path, label, SPLIT_NAMES[split.lower()] if with_split else None)
