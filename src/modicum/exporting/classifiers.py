"""What the manifest of every exported classifier states: whether it fits the network, and how pictures are prepared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modicum.adaptive.knobs import KnobError, check_knob
from modicum.exporting.manifest import MANIFEST_NAME
from modicum.exporting.parity import ExportError
from modicum.storage.files import JSON

PREPROCESSING = ("size", "resize_short", "mean", "std")


def stated_preprocessing(preprocessing: Mapping[str, JSON]) -> dict[str, JSON]:
    """Of ``preprocessing``, what the manifest states: ``size``, ``resize_short``, ``mean`` and ``std``."""
    return {key: preprocessing[key] for key in PREPROCESSING}


def stated_costs(costs: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns the fields of a menu's costs as the manifest states them: the names of routes are its ``labels``."""
    return {{"route_names": "labels"}.get(name, name): value for name, value in costs.items()}


def check_fit(
    preprocessing: Mapping[str, JSON], classes: Sequence[str], knob: float, *, image_px: int, num_classes: int
) -> None:
    """Refuses, before anything is written, what cannot be exported together.

    Args:
        preprocessing: How pictures become images.
        classes: Name of each class.
        knob: Accuracy against cost.
        image_px: Side of the images that the network takes.
        num_classes: How many classes it tells apart.

    Raises:
        ValueError: If preprocessing lacks something or gives images of another size, there are more or fewer names
            than classes, or the knob is not finite.
    """
    if missing := sorted(set(PREPROCESSING) - preprocessing.keys()):
        raise ValueError(f"preprocessing must hold size, resize_short, mean and std, but lacks {', '.join(missing)}")
    if preprocessing["size"] != image_px:
        raise ValueError(f"preprocessing must give images of {image_px} px, not {preprocessing['size']}")
    if len(classes) != num_classes:
        raise ValueError(f"classes must name the network's {num_classes} classes, got {len(classes)} names")
    check_knob(knob)


def read_knob(details: Mapping[str, Any], folder: Path) -> float:
    """Returns the knob that the manifest of an export states.

    Raises:
        ExportError: If it is not a finite number.
    """
    try:
        return check_knob(details["knob"])
    except KnobError as error:
        raise ExportError(f"{folder / MANIFEST_NAME} is damaged: {error}; export again") from error
