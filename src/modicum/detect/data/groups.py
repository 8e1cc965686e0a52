"""Which pictures are frames of one sequence, as far as their names tell."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

_ROBOFLOW = re.compile(r"\.rf\.[0-9a-zA-Z]+$")  # after the name of the picture from which an augmented copy was made
_FRAME = re.compile(r"^(?P<sequence>.*?)[-_ .]*(?:[A-Za-z]*\d+)$")
LEAST_GROUPS = 3  # one for each part


def find_groups(names: Sequence[str]) -> list[str | None]:
    """Returns the sequence of each picture: its folder and what precedes the number at the end of its name.

    ``DJI_0005-0018.jpg`` and ``DJI_0005-0019.jpg`` are frames of ``DJI_0005``; ``clip3/17.jpg`` is one of ``clip3``.
    Copies that Roboflow augments (``a_jpg.rf.0f3c.jpg``) belong to their original. Names tell nothing where they make
    fewer than three sequences, or as many as there are pictures: then all are None.

    Example:
        >>> find_groups(["a-1.jpg", "a-2.jpg", "b-1.jpg", "c-1.jpg"])
        ['a', 'a', 'b', 'c']
        >>> find_groups(["000001.jpg", "000002.jpg", "000003.jpg"])
        [None, None, None]
    """
    groups = [_sequence_of(name) for name in names]
    count = len(Counter(groups))
    return list(groups) if LEAST_GROUPS <= count < len(names) else [None] * len(names)


def _sequence_of(name: str) -> str:
    path = PurePosixPath(name)
    stem = _ROBOFLOW.sub("", path.stem)
    if stem != path.stem:
        return str(path.parent / stem) if path.parent.name else stem
    found = _FRAME.match(stem)
    sequence = found["sequence"] if found else stem
    parent = "" if str(path.parent) == "." else str(path.parent)
    return "/".join(part for part in (parent, sequence) if part)
