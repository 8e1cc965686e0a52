"""Decides where the outputs of `predict` go: a file or a folder, and under which names; the same for every task."""

import mimetypes
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.storage.errors import DataError, OutputError, RecipeError
from modicum.storage.outputs import claim

if TYPE_CHECKING:
    from modicum.prediction import Failure

_TYPES = mimetypes.MimeTypes()  # the standard ones alone, whatever this machine adds to them
_WILD = "*?["

Names = Callable[[Path, Path], Iterable[Path]]
"""From the place of an input in the output folder, under its own name, and the input, to the files written for it."""


def names_a_file(out: str | Path) -> bool:
    """Tells whether ``out`` means a file, not a folder: by what exists there, else by its spelling.

    A slash at the end means a folder; so does a name without the suffix of some kind of file, such as ``out.v2``.
    """
    from modicum.imaging.files import PICTURE_SUFFIXES

    path = Path(out)
    if path.is_dir() or str(out).endswith(os.sep):
        return False
    return path.is_file() or path.suffix.lower() in {
        *_TYPES.types_map[True],
        *_TYPES.encodings_map,
        *PICTURE_SUFFIXES,
        ".parquet",
    }


def gather_files(
    inputs: Iterable[object], expand: Callable[[list[str | Path]], list[Path]]
) -> "tuple[list[Path | Failure], list[str | Path]]":
    """Lists the files that a user means, in order; entries without files give a `Failure`.

    Args:
        inputs: Files, folders of files, and patterns.
        expand: Returns the files of some entries; raises `DataError` if an entry holds none.

    Returns:
        Files and failures, and the entries that gave files.

    Raises:
        DataError: If the only entry is a folder or a pattern without a file.
    """
    from modicum.prediction import Failure

    found: list[Path | Failure] = []
    used: list[str | Path] = []
    error: DataError | None = None
    for number, entry in enumerate(inputs, start=1):
        if not isinstance(entry, str | Path):
            found.append(Failure(f"input {number}", f"{type(entry).__name__} is no path of a file"))
            continue
        try:
            if (fault := _fault(entry)) is not None:
                found.append(Failure(str(entry), fault))
                continue
            found += expand([entry])
            used.append(entry)
        except DataError as empty:
            error = empty
            found.append(Failure(str(entry), str(empty)))
    if error is not None and len(found) == 1:
        raise error
    return found, used


def _fault(entry: str | Path) -> str | None:
    """Explains why an entry can never be read in full; None for all others, including missing ones."""
    try:
        mode = Path(entry).stat().st_mode
    except ValueError as error:  # a NUL, or what the system's encoding lacks
        return f"no file can have this name: {error}"
    except OSError:
        return None
    is_usual = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return None if is_usual else "it is a pipe, a device or a socket, and only regular files are read"


def in_order(found: "Iterable[Path | Failure]", answers: Iterator[Any]) -> Iterator[Any]:
    """Yields the answers to the files in order, with the failures of `gather_files` at their places."""
    for each in found:
        yield next(answers) if isinstance(each, Path) else each


def place_outputs(
    inputs: Iterable[str | Path],
    files: Sequence[Path],
    out: str | Path,
    names: Names,
    *,
    writable: Collection[str] = (),
    force: bool = False,
) -> list[Path]:
    """Returns where the outputs of each input go; raises every error it can before the work.

    Files that were found in a folder, or by a pattern, keep their place below it; so do those that are named one by one
    where two would get the same name.

    Args:
        inputs: What the user named.
        files: The files that were found by that.
        out: A folder; or, where a task writes one file for an input, that file.
        names: The files that are written for an input, from its place and itself.
        writable: Suffixes that ``out`` may have as a file; none where it must be a folder.
        force: Overwrite what modicum did not write.

    Returns:
        For each input its place in the folder, under its own name; or the one file that ``out`` names.

    Raises:
        RecipeError: If ``out`` is a file of another kind, or one file for several inputs, or two inputs would be
            written to one place.
        OutputError: If something stands there that must not be overwritten.
    """
    if names_a_file(out):
        places = [_only_file(Path(out), len(files), writable)] * len(files)
    else:
        places = _places(list(inputs), files, Path(out), names)
    written = [list(names(place, file)) for place, file in zip(places, files, strict=True)]
    _check_apart(files, written)
    claim((target for targets in written for target in targets), inputs=files, force=force)
    return places


def write_answer(answer: Any, place: Path) -> "Any | Failure":  # noqa: ANN401  of any task
    """Writes an answer and returns it with its files; failing to write gives a `Failure`.

    Args:
        answer: What `predict` gives for an input, with ``name``, ``files`` and ``save``; a failure is handed on.
        place: Where it goes, as ``save`` takes it.
    """
    from modicum.prediction import Failure

    if isinstance(answer, Failure):
        return answer
    try:
        return replace(answer, files=dict(answer.save(place)))
    except DataError as error:
        return Failure(answer.name, str(error), "not written")


def claim_file(out: str | Path, *, inputs: Iterable[str | Path] = (), force: bool = False) -> None:
    """Checks, before the work, that the one file ``out`` may be written; see `modicum.storage.outputs.claim`.

    Raises:
        OutputError: If it is a folder, or something stands there that must not be overwritten.
    """
    if str(out).endswith(os.sep):
        raise OutputError(f"{out} is a folder: name a file")
    claim([out], inputs=inputs, force=force)


def _only_file(out: Path, num_inputs: int, writable: Collection[str]) -> Path:
    if not writable:
        raise RecipeError(f"--out {out} is a file, but several are written for each input: name a folder")
    if out.suffix.lower() not in writable:
        raise RecipeError(
            f"--out {out} cannot be written: {out.suffix or 'no suffix'} is none of {', '.join(writable)}; use one of "
            "these, or name a folder"
        )
    if num_inputs > 1:
        raise RecipeError(f"--out {out} is one file, but there are {num_inputs} inputs: name a folder")
    return out


def _places(inputs: Sequence[str | Path], files: Sequence[Path], out: Path, names: Names) -> list[Path]:
    bases = {base: None for entry in inputs if (base := _base(entry)) is not None}  # in order, each once
    single = {Path(entry) for entry in inputs if _base(entry) is None}
    places = [out / (file.name if file in single else _below(file, bases)) for file in files]
    alone = [place for place, file in enumerate(files) if file in single]
    if len({target for each in alone for target in names(places[each], files[each])}) < len(
        {(files[each], target) for each in alone for target in names(places[each], files[each])}
    ):
        common = os.path.commonpath([_absolute(files[each]).parent for each in alone])
        for each in alone:
            places[each] = out / _absolute(files[each]).relative_to(common)
    return places


def _base(entry: str | Path) -> Path | None:
    """Returns the folder below which files keep their places: a folder itself, or the start of a pattern."""
    path = Path(entry)
    try:
        if path.is_dir():
            return path
        is_pattern = any(sign in str(entry) for sign in _WILD) and not path.exists()
    except (OSError, ValueError):  # no file can have such a name
        return None
    return next(part for part in path.parents if not any(sign in str(part) for sign in _WILD)) if is_pattern else None


def _below(file: Path, bases: Iterable[Path]) -> Path:
    return next((file.relative_to(base) for base in bases if file.is_relative_to(base)), Path(file.name))


def _absolute(file: Path) -> Path:
    return Path(os.path.abspath(file))  # noqa: PTH100  without following links, as the user sees the folders


def _check_apart(files: Sequence[Path], written: Sequence[Iterable[Path]]) -> None:
    first: dict[Path, int] = {}
    for number, targets in enumerate(written):
        for target in targets:
            if (other := first.setdefault(target, number)) != number:
                raise RecipeError(
                    f"{files[other]} and {files[number]} would both be written as {target}: name each input once, and "
                    "take those that share names one at a time, each with an --out of its own"
                )
