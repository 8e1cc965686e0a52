"""Counts the images of a user's data from names alone; imports no torch, so that help screens are instant."""

import itertools
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from modicum.classify.data.caltech import photograph_names
from modicum.classify.recipe import PHOTOGRAPHS
from modicum.imaging.files import is_image_name


def holds_fewer(data: str, count: int) -> bool:
    """Tells whether data hold fewer images than ``count``; looks at no more names than it needs.

    Args:
        data: A folder of images at any depth, a folder or file of tars, an index file (CSV with a header), or
            ``"caltech-20"``, the embedded photographs.
        count: The number to stay below.

    Returns:
        False also where no image is found: for CIFAR's files, and for what training will refuse with a reason.
    """
    try:
        names = photograph_names() if data == PHOTOGRAPHS else _images(Path(data).expanduser())
        found = sum(1 for _ in itertools.islice(names, count))
    except (OSError, tarfile.TarError, UnicodeDecodeError):
        return False  # the reader of the data says what is wrong with it
    return 0 < found < count


def _images(path: Path) -> Iterator[str]:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                if is_image_name(name):
                    yield name
                elif name.lower().endswith(".tar"):
                    yield from _members(Path(folder, name))
    elif path.suffix.lower() == ".tar" and path.is_file():
        yield from _members(path)
    elif path.suffix.lower() == ".csv" and path.is_file():
        with path.open(encoding="utf-8") as lines:
            yield from itertools.islice(lines, 1, None)


def _members(archive: Path) -> Iterator[str]:
    with tarfile.open(archive, "r:") as members:
        for member in members:
            if member.isfile() and is_image_name(Path(member.name).name):
                yield member.name
