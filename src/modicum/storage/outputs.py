"""Records what modicum wrote into a user's folder: nothing else is ever overwritten.

Beside the outputs stands a hidden list, one line of JSON per content that was written: the file's name in that folder
and a digest of its bytes. A file that is in the list as it stands is ours, and a later call may replace it; any other
is the user's, also one of ours that was changed since. The list is only ever appended to, so that several processes
may write into one folder; a file that it has lost counts as the user's.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modicum.storage.errors import OutputError, first_few
from modicum.storage.files import append_jsonl, dump_json, write_atomically
from modicum.storage.names import printable

LIST_NAME = ".modicum-outputs"

Identity = tuple[int, int]  # of a file on this machine, whatever it is called: device and inode


def claim(targets: Iterable[str | Path], *, inputs: Iterable[str | Path] = (), force: bool = False) -> None:
    """Checks, before the work, that outputs may be written to their targets.

    Args:
        targets: The files that will be written.
        inputs: The files that are read: none of them is ever overwritten, whatever the paths are called by which it is
            reached.
        force: Let files be overwritten that modicum did not write.

    Raises:
        OutputError: If a target is an input, or cannot be a file; or, without ``force``, if modicum did not write what
            stands there, or it was changed since. All is left as it is.
    """
    places = [Path(target) for target in targets]
    read = {identity: Path(file) for file in inputs if (identity := _identity(Path(file))) is not None}
    for place in places:
        if (source := read.get(_identity(place) or (-1, -1))) is not None:
            raise OutputError(f"{place} would take the place of the input {source}: name another --out")
        _check_place(place)
    foreign = [place for place in places if not is_replaceable(place)]
    if foreign and not force:
        raise OutputError(_refusal(foreign))
    for place in foreign:
        append_jsonl(place.parent / LIST_NAME, _row(place.name, _digest_of(place)))


def write_output(path: str | Path, data: bytes | str) -> None:
    """Writes a whole file into a user's folder, atomically, unless that would overwrite what modicum did not write.

    Args:
        path: The file to replace or to create; missing parent folders are made.
        data: The content; text is written as UTF-8.

    Raises:
        OutputError: If something else stands there; it is left as it is.
    """
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    if not is_replaceable(path):
        raise OutputError(_refusal([path]))
    digest = _digest(content)
    if not (os.path.lexists(path) and _digest_of(path) == digest):  # else it is listed
        # First, since a file that a kill left unlisted would look like the user's.
        append_jsonl(path.parent / LIST_NAME, _row(path.name, digest))
    write_atomically(path, content)


def tell_files(files: Mapping[str, Path]) -> str:
    """Returns the end of a printed line that names the outputs; empty without outputs."""
    return f", written: {', '.join(printable(str(file)) for file in files.values())}" if files else ""


def files_to_json(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Returns the JSON entry that gives the path of each output by kind; empty without outputs."""
    return {"files": {kind: str(file) for kind, file in files.items()}} if files else {}


def is_replaceable(path: Path) -> bool:
    """Tells whether ``path`` is free, or holds a file as modicum wrote it."""
    if not os.path.lexists(path):
        return True
    return _is_file_or_link(path) and _is_listed(path.parent, path.name, _digest_of(path))


def list_outputs(folder: Path) -> None:
    """Lists every file in a new folder, at any depth, as written by modicum."""
    for name, file in _files_in(folder):
        append_jsonl(folder / LIST_NAME, _row(name, _digest_of(file)))


def foreign_files(folder: Path) -> list[str]:
    """Returns the names, relative to ``folder`` and sorted, of files not listed, or changed since they were listed."""
    return [name for name, file in _files_in(folder) if not _is_listed(folder, name, _digest_of(file))]


def has_list(folder: Path) -> bool:
    """Tells whether modicum has listed its outputs in ``folder``."""
    return (folder / LIST_NAME).is_file()


def _refusal(files: Iterable[Path]) -> str:
    names = [str(file) for file in files]
    fault = "was not written by modicum, or has" if len(names) == 1 else "were not written by modicum, or have"
    return (
        f"{first_few(names)} {fault} been changed since, and will not be overwritten: name another place with --out, "
        "move what stands there, or pass --force"
    )


def _check_place(path: Path) -> None:
    """Raises OutputError for a target that can never become a file, or not by this user."""
    if os.path.lexists(path) and not _is_file_or_link(path):
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}: name a file")
    above = path.parent
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        raise OutputError(f"{path} cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: {above} may not be written to")


def _is_file_or_link(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # missing, or no name that a file could have
        return None
    return found.st_dev, found.st_ino


def _files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.name != LIST_NAME and (file.is_symlink() or not file.is_dir()):
            yield file.relative_to(folder).as_posix(), file


def _digest_of(path: Path) -> str:
    if path.is_symlink():  # a link is replaced, not what it leads to
        return _digest(b"link to " + os.fsencode(path.readlink()))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_listed(folder: Path, name: str, digest: str) -> bool:
    try:
        lines = (folder / LIST_NAME).read_bytes()
    except FileNotFoundError:
        return False
    return dump_json(_row(name, digest)).encode() in lines  # not parsed, as this is asked of every file of a batch


def _row(name: str, digest: str) -> dict[str, str]:
    return {"name": name, "sha256": digest}
