"""From a run folder to its system, recipe and network; what the verbs of every task begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.recipes import build_recipe, read_recipe
from modicum.storage import RunFolder
from modicum.systems import System, get_system, locate, network_builders

if TYPE_CHECKING:
    from torch import nn


def system_of(run: str | Path) -> System:
    """The system that a run is of.

    Raises:
        RunError: If the folder is missing or not a run, or its recipe has changed.
        DataError: If its state is damaged.
    """
    folder = RunFolder.open(run)
    folder.verify_recipe()
    return get_system(folder.read_state().system)


def open_run(run: str | Path) -> tuple[RunFolder, Any]:
    """A run folder and its resolved recipe.

    Raises:
        RunError: If the folder is missing or not a run.
    """
    folder, system = RunFolder.open(run), system_of(run)
    recipe_class = locate(system.recipe)
    return folder, build_recipe(recipe_class, read_recipe(folder.recipe, recipe_class))


def load(path: str | Path, **parts: Any) -> "nn.Module":  # noqa: ANN401  modules
    """The network of a run folder or weights file, in evaluation mode on the CPU; nothing in the file is executed.

    Args:
        path: A run folder, or a ``.safetensors`` file.
        **parts: What no file can hold, such as a backbone that was given as a module.

    Raises:
        WeightsError: If the file is missing, damaged, or does not fit its network.
    """
    from modicum.storage.weights import load_network

    return load_network(path, network_builders(), **parts)


def load_for_inference(folder: RunFolder, recipe: Any) -> Any:  # noqa: ANN401  the run's network
    """The network of a run, on the accelerator if its recipe may use one."""
    from modicum.training.devices import inference_device

    return load(folder.path).to(inference_device(recipe.trainer.accelerator))
