"""What the manifest of every exported classifier states: whether it fits the network, and how pictures are prepared."""

import math
from collections.abc import Mapping, Sequence

from modicum.storage.files import JSON

PREPROCESSING = ("size", "resize_short", "mean", "std")


def stated_preprocessing(preprocessing: Mapping[str, JSON]) -> dict[str, JSON]:
    """Of ``preprocessing``, what the manifest states: ``size``, ``resize_short``, ``mean`` and ``std``."""
    return {key: preprocessing[key] for key in PREPROCESSING}


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
    if not math.isfinite(knob):
        raise ValueError(f"knob must be a finite number, got {knob}")
