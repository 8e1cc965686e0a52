"""Finds the reader for what a user names: nothing, a folder, or an archive."""

from pathlib import Path

from modicum.saliency.data.scenes import ProceduralScenes
from modicum.saliency.data.sources import FilePairs, PairSource

EMBEDDED = "procedural-scenes"


def open_source(data: str | None, *, side: int = 96) -> PairSource:
    """The set that ``data`` names.

    Args:
        data: A path, or ``"procedural-scenes"``; None is the same as the latter, the embedded set.
        side: Side of the embedded scenes, px; files have their own sizes.

    Raises:
        DataError: If nothing is there, or it is none of what can be read; the message lists what can.
    """
    return ProceduralScenes(side=side) if data is None or data == EMBEDDED else FilePairs(Path(data).expanduser())
