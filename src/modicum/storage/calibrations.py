"""The calibration of a run: a file in its folder, and a note in its weights that must say the same."""

from collections.abc import Mapping
from typing import Any

from modicum.storage.errors import RunError
from modicum.storage.files import JSON
from modicum.storage.header import read_header, update_notes
from modicum.storage.runs import CALIBRATION_NOTE, RunFolder
from modicum.storage.sealing import read_sealed, write_sealed


def keep_calibration(run: RunFolder, content: Mapping[str, JSON]) -> None:
    """Writes a calibration, as plain data, into the run folder and into the notes of the weights."""
    write_sealed(run.calibration, content)
    update_notes(run.weights, {CALIBRATION_NOTE: content})


def kept_calibration(run: RunFolder) -> dict[str, Any] | None:
    """Reads the calibration in a run folder as plain data; None if there is none.

    Raises:
        RunError: If the file does not match the calibration that the run's weights record.
        DataError: If the file is damaged.
    """
    known = read_header(run.weights).notes.get(CALIBRATION_NOTE) if run.weights.exists() else None
    if not run.calibration.exists():
        if known is not None:
            raise RunError(f"{run.path} has lost its {run.calibration.name}: put the file back, or {remedy_of(run)}")
        return None
    content = read_sealed(run.calibration, remedy=remedy_of(run))
    if known != content:
        raise RunError(
            f"{run.calibration} is not that of the weights beside it: put the file back, or {remedy_of(run)}"
        )
    return content


def calibration_note(run: RunFolder) -> dict[str, JSON]:
    """Returns the calibration in the folder, for the notes of weights; empty if there is none."""
    if not run.calibration.exists():
        return {}
    return {CALIBRATION_NOTE: read_sealed(run.calibration, remedy="remove it, and calibrate again")}


def remedy_of(run: RunFolder) -> str:
    """Returns the advice for a calibration that cannot be used."""
    return f"calibrate again: modicum calibrate {run.path} --budget SHARE"
