"""Defines fields that the manifests of all exported classifiers share, for their writers and their runners."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modicum.adaptive.knobs import KnobError, check_knob
from modicum.exporting.manifest import MANIFEST_NAME
from modicum.exporting.parity import ExportError
from modicum.storage.files import JSON

PREPROCESSING = ("size", "resize_short", "mean", "std")


def stated_costs(costs: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns the fields of a menu's costs as the manifest states them: the names of routes are its ``labels``."""
    return {{"route_names": "labels"}.get(name, name): value for name, value in costs.items()}


def read_knob(details: Mapping[str, Any], folder: Path) -> float:
    """Returns the knob that the manifest of an export states.

    Raises:
        ExportError: If it is not a finite number.
    """
    try:
        return check_knob(details["knob"])
    except KnobError as error:
        raise ExportError(f"{folder / MANIFEST_NAME} is damaged: {error}; export again") from error
