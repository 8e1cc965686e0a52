"""Folders that are written whole or not at all."""

import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from modicum.exporting.manifest import MANIFEST_NAME
from modicum.exporting.parity import ExportError
from modicum.storage.errors import OutputError
from modicum.storage.outputs import LIST_NAME, foreign_files, has_list, list_outputs

_SUFFIXES = (".onnx", ".onnx.data")


@contextmanager
def replaced_folder(folder: str | Path, *, others: Collection[str] = ()) -> Iterator[Path]:
    """Gives the body a new folder to fill, which takes the place of ``folder`` when the body ends without an error.

    Args:
        folder: Where the export goes.
        others: Names of files and folders that exports of this system hold beside graphs and manifest.

    Raises:
        ExportError: If ``folder`` exists and holds anything but an earlier export; it is left as it is.
        OutputError: If a file of that export was changed since; all is left as it is.
    """
    folder = Path(folder)
    _refuse_foreign(folder, {MANIFEST_NAME, LIST_NAME, *others})
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, hence on the same file system: only there is renaming atomic.
    mark = secrets.token_hex(4)
    new, old = (folder.with_name(f".{folder.name}.{mark}.{kind}.tmp") for kind in ("new", "old"))
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
