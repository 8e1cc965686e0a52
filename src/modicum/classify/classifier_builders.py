"""Finds the builders of this wing's networks by the names in their files, so that one can be a part of another."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from modicum.storage.errors import WeightsError

PLACES = {
    "blockdrop": "blockdrop.network:rebuild_blockdrop",
    "cascade": "cascade.members:rebuild_cascade",
    "drnet": "drnet.network:rebuild_drnet",
    "ranet": "ranet.network:RANet",
    "resolution-and-blocks": "resolution_and_blocks.network:rebuild_resolution_and_blocks",
    "static": "static.network:rebuild_static",
}
"""Module and name of each builder, below this package; imported when it is asked for."""


def classifier_builder(name: str) -> Callable[..., Any]:
    """Returns what builds the network of that stored name.

    Raises:
        WeightsError: If it is no classifier of this wing.
    """
    if name not in PLACES:
        raise WeightsError(f"{name!r} is no classifier of images; known: {', '.join(PLACES)}")
    builder: Callable[..., Any] = resolve_name(f"modicum.classify.{PLACES[name]}")
    return builder
