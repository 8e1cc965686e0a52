"""The content of regular files, within a bound: a pipe would be waited for, a device never ends."""

import gzip
import stat
import zlib
from pathlib import Path

from modicum.storage.errors import DataError
from modicum.storage.files import read_at_most

GZIP_MAGIC = b"\x1f\x8b"
MOST_BYTES = 1 << 30  # of a file of questions or of a passage, uncompressed: 30 times SQuAD


def require_regular(path: Path) -> None:
    """Raises `DataError` unless the path is a regular file; checks before opening it.

    Raises:
        DataError: If it is missing, or a folder, a pipe or a device, or no file can have this name.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a ValueError: the name has a NUL in it
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise DataError(f"{_shown(path)} cannot be read: {reason}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{_shown(path)} cannot be read: it is a folder")
    if not stat.S_ISREG(mode):
        raise DataError(f"{_shown(path)} cannot be read: it is a pipe or a device, save its content to a file")


def read_regular(path: str | Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Reads a regular file; gzip is detected by its content and decompressed.

    Args:
        path: The file.
        most_bytes: More are refused.

    Raises:
        DataError: If it cannot be read, is not a regular file, is damaged or is too large.
    """
    path = Path(path)
    require_regular(path)
    try:
        with path.open("rb") as file:
            is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            content = read_at_most(gzip.GzipFile(fileobj=file) if is_gzip else file, most_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}; get it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise DataError(f"{path} cannot be read: it has more than {most_bytes:,} bytes, divide it")
    return content


def decode(content: bytes, path: str | Path) -> str:
    """Decodes UTF-8, or UTF-16 with a byte order mark, as some spreadsheets save it.

    Raises:
        DataError: If it is neither; the message names line and column.
    """
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        place = f"line {line}, byte column {column}"
        raise DataError(f"{path} is not UTF-8 text at {place}: save it as UTF-8") from error


def _shown(path: Path) -> str:
    """Returns a path for display, quoted if it holds unprintable characters."""
    return str(path) if str(path).isprintable() else repr(str(path))
