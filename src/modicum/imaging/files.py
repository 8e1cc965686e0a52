"""Image files: which count, and how they are found and read."""

import logging
import os.path
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path, PurePosixPath

from modicum.imaging.decoding import BadImageError
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few
from modicum.storage.files import read_at_most

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    *(".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
"""File names that count as images, in lower case; the comparison ignores case."""

OTHER_SUFFIXES = (
    *(".cfg", ".csv", ".db", ".gz", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".npy", ".npz"),
    *(".parquet", ".pdf", ".pt", ".py", ".rst", ".safetensors", ".tar", ".toml", ".tsv", ".txt", ".xlsx", ".xml"),
    *(".yaml", ".yml", ".zip"),
)
"""Suffixes of files that are not pictures; any other file that is not read is named."""

PICTURE_SUFFIXES = (
    *IMAGE_SUFFIXES,
    *(".arw", ".avif", ".cr2", ".cr3", ".dib", ".dng", ".eps", ".exr", ".heic", ".heif", ".icns", ".ico", ".j2k"),
    *(".jp2", ".jxl", ".nef", ".orf", ".pcx", ".psd", ".raw", ".rw2", ".sgi", ".svg", ".tga", ".xbm", ".xpm"),
)
"""Names that mean a picture in some format, whether it is read here or not; never those of folders for results."""

MAX_BYTES = 2**30
"""Larger files are refused; the largest picture that is decoded has 0.7 GiB of 16-bit colours with alpha."""


def is_image_name(name: str) -> bool:
    """Tells whether a file of this name counts as an image: a known suffix, and not hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def is_left_out(name: str) -> bool:
    """Tells whether a file of this name may be an unsupported picture: neither hidden nor of `OTHER_SUFFIXES`."""
    return not (name.startswith(".") or name.lower().endswith((*IMAGE_SUFFIXES, *OTHER_SUFFIXES)))


def count_suffixes(names: Iterable[str]) -> str:
    """Counts files by suffix, the most frequent first: ``10 .heic, 1 without``."""
    counts = Counter(PurePosixPath(name).suffix.lower() for name in names)
    return ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in counts.most_common())


def left_out_line(names: Sequence[str], origin: object) -> str:
    """Returns one line on unread files that may be pictures: how many, their suffixes, and what to do."""
    verb, whose = ("is", "its") if len(names) == 1 else ("are", "their")
    return (
        f"{counted(len(names), 'file')} of {origin} {verb} not read for {whose} suffix ({count_suffixes(names)}), "
        f"{first_few(sorted(names), 3)}: convert pictures among them to JPEG or PNG"
    )


def read_content(path: Path) -> bytes:
    """Reads all bytes of an image file.

    Raises:
        BadImageError: If it cannot be read, is not a regular file (a pipe or a device may never end), or is larger than
            `MAX_BYTES`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
            raise BadImageError(f"it is {kind}, not a file")
        with path.open("rb") as stream:
            content = read_at_most(stream, MAX_BYTES)  # files of /proc and growing files do not say how long they are
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL, or one that the system cannot encode
        raise BadImageError(str(getattr(error, "strerror", None) or error)) from error
    if len(content) > MAX_BYTES:
        raise BadImageError(f"it has more than {MAX_BYTES:,} bytes, more than any picture needs")
    return content


def expand_inputs(inputs: Iterable[str | Path]) -> list[Path]:
    """Lists the files that a user means: files as given, images of folders (deep), and matches of glob patterns.

    Raises:
        DataError: If a folder or pattern holds no image; a missing file is left to be reported as unreadable.
    """
    files: list[Path] = []
    for entry in inputs:
        # Not by methods of paths: those raise on names that are too long.
        if os.path.isdir(entry):  # noqa: PTH112
            found = list_pictures(Path(entry))
        elif not os.path.lexists(entry) and _is_pattern(str(entry)):
            found = [Path(match) for match in sorted(glob(str(entry), recursive=True))]  # noqa: PTH207  ** and / alike
        else:
            found = [Path(entry)]
        if not found:
            raise DataError(
                f"{entry} holds no image: give image files, a folder of them, or a pattern that matches some"
            )
        files += found
    return files


def list_pictures(folder: Path) -> list[Path]:
    """Lists the images below a folder, sorted; logs the other files that may be pictures."""
    files = sorted(file for file in folder.rglob("*") if not file.is_dir())
    warn_of_left_out(folder, files)
    return [file for file in files if is_image_name(file.name)]


def warn_of_left_out(folder: Path, files: Iterable[Path]) -> None:
    """Logs the files below a folder that may be pictures but have no supported suffix."""
    names = [file.relative_to(folder).as_posix() for file in files if is_left_out(file.name)]
    if left_out := [name for name in names if not name.startswith(".") and "/." not in name]:
        log.warning("%s", left_out_line(left_out, folder))


def _is_pattern(entry: str) -> bool:
    return any(sign in entry for sign in "*?[") and "\0" not in entry
