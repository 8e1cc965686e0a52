"""Files that are parts of one, as hubs of data sets write them: ``train-00000-of-00002.parquet``."""

import re
from collections.abc import Iterable
from pathlib import Path

from modicum.storage.errors import DataError, first_few

_SHARD = re.compile(r"^(?P<head>.+?)[-_.]?(?P<number>\d{5})-of-(?P<count>\d{5})(?P<tail>.*)$")


def join_shards(files: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Returns the files of each set, in the order of their numbers; a file that is no shard is a set of its own.

    Raises:
        DataError: If a shard is missing.
    """
    sets: dict[tuple[str, ...], dict[int, Path]] = {}
    for file in sorted(files):
        if (match := _SHARD.match(file.name)) is None:
            sets[(file.name,)] = {0: file}
        else:
            shard = (match["head"], match["count"], match["tail"])
            sets.setdefault(shard, {})[int(match["number"])] = file
    for key, found in sets.items():
        if len(key) > 1 and (gone := sorted(set(range(int(key[1]))) - set(found))):
            names = first_few([f"{key[0]}-{number:05}-of-{key[1]}{key[2]}" for number in gone])
            folder = next(iter(found.values())).parent
            raise DataError(f"{folder} lacks {names}: put all {int(key[1])} files there, or name the file to use alone")
    return [tuple(found[number] for number in sorted(found)) for found in sets.values()]


def name_of_set(files: tuple[Path, ...]) -> str:
    """Returns a name for all files of a set, without what numbers them and without suffixes."""
    match = _SHARD.match(files[0].name)
    return match["head"] if match and len(files) > 1 else files[0].name.split(".")[0]
