"""From what a user names, a file, a folder, or nothing, to the corpora that it holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modicum.datasets.sources import PARTS, Part
from modicum.reading.data.corpus import Corpus
from modicum.reading.data.layouts import SUFFIXES, is_question_file
from modicum.reading.data.lookup import NAME, ORIGIN, draw_lookup
from modicum.reading.data.problems import Problem, problem_lines
from modicum.reading.data.shards import join_shards
from modicum.reading.data.squad import Loaded, read_squad
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few

_PARTS: Mapping[Part, str] = {"train": "train", "calibration": "calibration|valid|validation|dev", "test": "test"}


@dataclass(frozen=True)
class Source:
    """A set of questions.

    Attributes:
        name: One line on what the set is.
        origin: The path that it was read from, or ``"embedded:procedural-look-up"``.
        given: The parts that the set has; at least "train". See `modicum.reading.data.splits.divide`.
        problems: What was wrong in its files.
    """

    name: str
    origin: str
    given: Mapping[Part, Corpus]
    problems: tuple[Problem, ...] = ()


def open_source(source: str | Path | None, *, strict: bool = False, seed: int = 0) -> Source:
    """Opens the corpora of a file, a folder, or the embedded default.

    In a folder the names of files say what they are: "train", "dev" (also "valid" and "calibration") and "test" in any
    place of the name. A "dev" without a "test" beside it is the test, as with SQuAD, whose test is not public. Shards,
    as in "train-00000-of-00002.parquet", are joined. If there are several of a kind, the one of the training's version
    counts.

    Args:
        source: A file of questions (see `modicum.reading.data.squad.read_squad`), a folder with one for the training
            and perhaps others, or None for the look-up task.
        strict: Refuse files in which something is wrong.
        seed: Seed of the look-up task.

    Raises:
        DataError: If there is no file of questions, a file cannot be used, or it has problems and ``strict`` is set.
    """
    if source is None:
        given = dict(zip(PARTS, draw_lookup(seed=seed), strict=True))
        return Source(f"{NAME}, seed {seed}", ORIGIN, given)
    path = Path(source)
    loaded: dict[Part, Loaded] = _read_folder(path) if path.is_dir() else {"train": read_squad(path)}
    problems = tuple(problem for part in loaded.values() for problem in part.problems)
    if strict and problems:
        raise DataError(f"{path}: {'; '.join(problem_lines(problems))}; mend the file, or go on without `strict`")
    given = {part: found.corpus for part, found in loaded.items()}
    count = sum(corpus.num_questions for corpus in given.values())
    return Source(f"{counted(count, 'question')} in {path.resolve().name}", str(path), given, problems)


def _read_folder(folder: Path) -> dict[Part, Loaded]:
    files = sorted(path for path in folder.iterdir() if is_question_file(path.name) and path.is_file())
    of_part = {part: [path for path in files if re.search(word, path.name.lower())] for part, word in _PARTS.items()}
    if not of_part["train"]:
        names = first_few([path.name for path in files]) or f"no file of questions, {SUFFIXES}"
        raise DataError(f"{folder} must hold a file with 'train' in its name, but holds {names}: name the file itself")
    if not of_part["test"]:
        of_part["test"], of_part["calibration"] = of_part["calibration"], []
    loaded: dict[Part, Loaded] = {"train": _only(of_part["train"], None, "train")}
    for part in ("calibration", "test"):
        if of_part[part]:
            loaded[part] = _only(of_part[part], loaded["train"].corpus.version, part)
    return loaded


def _only(files: list[Path], version: str | None, part: Part) -> Loaded:
    """Reads the one file of a part, or its shards; if there are several, the one of that version."""
    sets = join_shards(files)
    if len(sets) == 1:
        return read_squad(*sets[0])
    fitting = [loaded for each in sets if version and (loaded := read_squad(*each)).corpus.version == version]
    if len(fitting) != 1:
        names = first_few([path.name for path in files])
        raise DataError(f"{files[0].parent} holds several files for {part}, {names}: leave one of them there")
    return fitting[0]
