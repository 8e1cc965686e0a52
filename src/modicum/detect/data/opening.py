"""Finds the reader for what a user names: nothing, a folder, an archive, or a file of annotations."""

from pathlib import Path

from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.data.scenes import ScatteredMarks
from modicum.detect.data.sources import DetectionSource

EMBEDDED = "scattered-marks"
EMBEDDED_SIDE = 1536  # px


def open_source(data: str | None, side: int = EMBEDDED_SIDE) -> DetectionSource:
    """Opens the data set that ``data`` names.

    Args:
        data: A path, or ``"scattered-marks"``; None is the same as the latter, the embedded set.
        side: Of the pictures of the embedded set, px.

    Raises:
        DataError: If the path is missing or unreadable; the message lists what can be read.
    """
    return ScatteredMarks(side) if data is None or data == EMBEDDED else AnnotatedFiles(Path(data).expanduser())
