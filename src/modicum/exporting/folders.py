"""Folders that are written whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from modicum.exporting.manifest import MANIFEST_NAME
from modicum.exporting.parity import ExportError
from modicum.storage.errors import OutputError, RunError
from modicum.storage.lock import locked
from modicum.storage.outputs import LIST_NAME, foreign_files, has_list, list_outputs

_SUFFIXES = (".onnx", ".onnx.data")
_LEFTOVERS = (".new.tmp", ".old.tmp", ".lock.tmp")


@contextmanager
def replaced_folder(folder: str | Path, *, others: Collection[str] = ()) -> Iterator[Path]:
    """Gives the body a new folder to fill, which takes the place of ``folder`` when the body ends without an error.

    Leftovers of killed exports to the same place are removed first; an earlier export that one of them had moved
    aside comes back.

    Args:
        folder: Where the export goes.
        others: Names of files and folders that exports of this system hold beside graphs and manifest.

    Raises:
        ExportError: If ``folder`` exists and holds anything other than an earlier export, which stays unchanged.
        OutputError: If a file of that export was changed since; all is left as it is.
    """
    folder = Path(folder)
    _refuse_foreign(folder, {MANIFEST_NAME, LIST_NAME, *others})
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    # Beside it, hence on the same file system: only there is renaming atomic.
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    new, old, lock = (folder.with_name(f".{folder.name}.{mark}.{kind}.tmp") for kind in ("new", "old", "lock"))
    with locked(lock):
        new.mkdir()
        try:
            yield new
            list_outputs(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
            lock.unlink()


def _remove_leftovers(folder: Path) -> None:
    """Removes what dead processes left beside ``folder``; a process that is alive holds its lock."""
    beginning = f".{folder.name}."
    marks = {
        path.name.removeprefix(beginning).partition(".")[0]
        for path in folder.parent.iterdir()
        if path.name.startswith(beginning) and path.name.endswith(_LEFTOVERS)
    }
    for mark in sorted(marks):
        _remove_leftover(folder, mark)


def _remove_leftover(folder: Path, mark: str) -> None:
    if mark.startswith(f"{os.getpid()}-"):
        return  # another thread's: a process always gets its own locks
    new, old, lock = (folder.with_name(f".{folder.name}.{mark}.{kind}.tmp") for kind in ("new", "old", "lock"))
    try:
        with locked(lock):
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    except RunError:
        return
    lock.unlink(missing_ok=True)


def _refuse_foreign(folder: Path, known: Collection[str]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file: name a folder")
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in known and not p.name.endswith(_SUFFIXES))
    if foreign:
        raise ExportError(f"{folder} holds files that are no export, e.g. {foreign[0]}: name a new or empty folder")
    if not has_list(folder) and (folder / MANIFEST_NAME).is_file():
        return  # an export from before there were lists
    if changed := foreign_files(folder):
        raise OutputError(
            f"{folder} holds files that modicum did not write, or that were changed since, e.g. {changed[0]}: name a "
            "new or empty folder with --out, or pass --force"
        )
