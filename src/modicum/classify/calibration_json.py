"""Tells calibrations of classifiers to files and the command line, and reads them."""

from collections.abc import Mapping

from modicum.adaptive.calibration import Calibration
from modicum.storage.files import JSON
from modicum.storage.values import Form, from_plain, renaming, to_plain

CALIBRATION_FORMS: Mapping[type, Form] = {Calibration: renaming(worth="accuracy")}


def calibration_to_json(calibration: Calibration) -> dict[str, JSON]:
    """Returns a calibration as files and the command line tell it."""
    return to_plain(calibration, CALIBRATION_FORMS)


def calibration_from_json(content: Mapping[str, JSON]) -> Calibration:
    """Returns the calibration that `calibration_to_json` told, also one without what later versions note.

    Raises:
        ValueError: If something is missing, or of another kind.
    """
    return from_plain(Calibration, content, CALIBRATION_FORMS)
