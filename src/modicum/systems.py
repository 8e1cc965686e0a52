"""The systems that modicum has, by name; each is imported when it is asked for, so that listing them is instant."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modicum.recipes import closest
from modicum.storage.errors import RecipeError


@dataclass(frozen=True)
class System:
    """One system, with the places of its parts as ``"module:name"``.

    Attributes:
        id: Its name everywhere: command line, files, Python.
        wing: The task it belongs to.
        summary: What a user gets, in one line.
        recipe: Its recipe, a dataclass.
        fit: From (recipe, run folder) to a trained network.
        network: Its network, rebuilt from what ``storage_config`` gave.
        export: From (network, folder, ...) to a deployable folder.
        bench: From options to measured rows.
        default_recipe: Name of the recipe for the embedded default data.
        own_data_recipe: Name of the recipe for a user's own data.
    """

    id: str
    wing: str
    summary: str
    recipe: str
    fit: str
    network: str
    export: str
    bench: str
    default_recipe: str
    own_data_recipe: str


SYSTEMS = {
    system.id: system
    for system in (
        System(
            id="drnet",
            wing="classify",
            summary="image classifier that picks, for each image, the resolution it needs",
            recipe="modicum.classify.drnet.recipe:DRNetRecipe",
            fit="modicum.classify.drnet.fitting:fit",
            network="modicum.classify.drnet.network:rebuild_drnet",
            export="modicum.classify.drnet.export:export_drnet",
            bench="modicum.classify.drnet.bench:bench",
            default_recipe="drnet-digits",
            own_data_recipe="drnet-photos",
        ),
    )
}


def get_system(name: str) -> System:
    """The system of that name.

    Raises:
        RecipeError: If there is none; the message suggests one.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    raise RecipeError(f"system {name!r} is not known: {closest(name, SYSTEMS)}")


def locate(place: str) -> Any:  # noqa: ANN401  a class or a function
    """What stands at ``"module:name"``."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def network_builders() -> dict[str, Callable[..., Any]]:
    """For `modicum.storage.weights.load_network`: each network by the name under which it is stored."""
    return {system.id: locate(system.network) for system in SYSTEMS.values()}
