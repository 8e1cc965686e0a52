"""Trains a system by its recipe into a run folder; see `modicum.verbs.train`."""

import logging
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modicum.contract import AnySystem, Recipe
from modicum.recipes import build_recipe, check_numbers, read_recipe, recipe_text
from modicum.storage import RunFolder, versions
from modicum.systems import check_packages, get_system, open_run, recipe_for

log = logging.getLogger(__name__)


def train(
    system: str,
    *,
    out: str | Path | None = None,
    recipe: str | Path | None = None,
    resume: bool = False,
    **options: object,
) -> RunFolder:
    """Trains a system and evaluates it; leaves a run folder with weights, figures and a report.

    Args:
        system: Id of the system.
        out: The run folder; None means runs/SYSTEM.
        recipe: A named recipe or a YAML file; None takes the one for the embedded data, or, if ``data`` is given, the
            one for own data.
        resume: Go on with a run that was interrupted; the recipe must be the same.
        **options: Override single options of the recipe, nested ones as mappings.

    Raises:
        RecipeError: If an option is unknown or impossible.
        RunError: If the folder holds something else.
        DataError: If the data cannot be used.
        MissingExtraError: If a package that the system's report needs is not installed.

    Example:
        >>> import modicum
        >>> run = modicum.train("graphs", recipe="graphs-quick", out="runs/graph")
        >>> run.weights.name
        'model.safetensors'
    """
    chosen = get_system(system)
    if isinstance(options.get("data"), Path):
        options["data"] = str(options["data"])
    data = options.get("data")
    name = recipe or recipe_for(chosen, data if isinstance(data, str) else None)
    resolved = build_recipe(chosen.recipe, _merge(read_recipe(name, chosen.recipe), options))
    return train_recipe(chosen, resolved, Path(out or f"runs/{chosen.id}"), resume=resume)


def train_recipe(system: AnySystem, recipe: Recipe, out: Path, *, resume: bool) -> RunFolder:
    """Trains a system by a resolved recipe; see `train`."""
    check_packages(system)
    check_numbers(recipe)
    if recipe.data is not None and Path(recipe.data).exists():
        recipe = replace(recipe, data=str(Path(recipe.data).resolve()))  # the run is used from elsewhere, too
    if not is_first_process():  # the first one keeps the folder
        system.fit()(recipe, RunFolder(out))
        return RunFolder(out)
    text = recipe_text(recipe)
    with RunFolder.begin(
        out, resume=resume, system=system.id, recipe_text=text, command=_command(), versions=versions()
    ) as run:
        log.info("the run folder is %s", run.path)
        system.fit()(recipe, run)
        write_report(run)
    log.info("the report is %s", run.report)
    return run


def write_report(run: RunFolder) -> None:
    """Evaluates a run that was trained just now, and writes its report."""
    open_run(run.path).report()


def is_first_process() -> bool:
    """Tells whether this process is the only one of a training, or the first of several."""
    from modicum.training import devices

    return devices.is_first_process()


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``base`` with the values of ``over``; nested mappings are merged, not replaced."""
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _command() -> str:
    """Returns the command that started this process, as one would type it."""
    program = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "modicum"] if program == "__main__.py" else [program]), *sys.argv[1:]])
