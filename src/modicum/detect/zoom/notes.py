"""What a run of zoom keeps beside its weights: the price, the fixed windows, and which detector is the user's own."""

from pathlib import Path
from typing import Any

import numpy as np

from modicum.adaptive.calibration import Calibration
from modicum.detect.zoom.planning import Plan
from modicum.storage.calibrations import keep_calibration, kept_calibration, remedy_of
from modicum.storage.errors import DataError, WeightsError
from modicum.storage.files import JSON
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.values import from_plain, to_plain

FIXED_NOTE = "fixed_windows"  # of weights: the constant windows that earn most in the pictures R-net learned from
DETECTOR_NOTE = "detector"  # of weights: the user's detector that R-net was fitted to


def keep_price(run: RunFolder, calibration: Calibration) -> None:
    """Keeps the price that was chosen."""
    keep_calibration(run, to_plain(calibration))


def read_price(run: RunFolder) -> Calibration | None:
    """Reads the price that was chosen; None if none was.

    Raises:
        RunError: If the file is not that of the weights.
        DataError: If the file is damaged.
    """
    content = kept_calibration(run)
    if content is None:
        return None
    try:
        return from_plain(Calibration, content)
    except ValueError as error:
        raise DataError(f"{run.calibration} does not hold what it should ({error}): {remedy_of(run)}") from error


def plan_note(plan: Plan) -> dict[str, JSON]:
    """Returns a plan as plain data."""
    return {"whole": plan.whole.tolist(), "windows": plan.windows.tolist(), "prices": plan.prices.tolist()}


def read_fixed(weights: Path) -> Plan | None:
    """Reads the fixed windows; None if there are none that earned anything.

    Raises:
        WeightsError: If the file cannot be read, or the note cannot be used.
    """
    noted: Any = read_header(weights).notes.get(FIXED_NOTE)
    try:
        whole, prices = (np.array(noted[name], dtype=np.float64) for name in ("whole", "prices"))
        windows = np.array(noted["windows"], dtype=np.float64).reshape(len(prices), 4)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{weights} notes {FIXED_NOTE} that cannot be used ({error}): train again") from error
    return Plan(whole, windows, prices) if len(prices) else None


def read_own(weights: Path) -> tuple[str, str | None] | None:
    """Reads the user's detector, its place or name and the digest of its files; None where detectors were trained.

    Raises:
        WeightsError: If the file cannot be read.
    """
    noted: Any = read_header(weights).notes.get(DETECTOR_NOTE)
    return None if noted is None else (str(noted["name"]), noted["sha256"])
