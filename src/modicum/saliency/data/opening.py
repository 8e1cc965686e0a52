"""Finds the reader for what a user names: nothing, a folder, or an archive."""

from pathlib import Path

from modicum.saliency.data.scenes import ProceduralScenes
from modicum.saliency.data.sources import FilePairs, PairSource

EMBEDDED = "procedural-scenes"


def open_source(data: str | None, *, side: int = 96) -> PairSource:
    """Opens the data set that ``data`` names.

    Args:
        data: A path, or ``"procedural-scenes"``; None is the same as the latter, the embedded set.
        side: Side of the embedded scenes, px; files have their own sizes.

    Raises:
        DataError: If the path is missing or unreadable; the message lists what can be read.
    """
    return ProceduralScenes(side=side) if data is None or data == EMBEDDED else FilePairs(Path(data).expanduser())
