"""The named recipes that ship with the package, and reading and writing recipes as YAML."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from modicum.storage.errors import RecipeError
from modicum.storage.yaml_text import parse_mapping, read_bounded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Recipe = TypeVar("Recipe")

_FOLDER = resources.files("modicum.recipes")


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in the package, sorted."""
    files = (Path(entry.name) for entry in _FOLDER.iterdir())
    return tuple(sorted(file.stem for file in files if file.suffix == ".yaml"))


def read_recipe(recipe: str | Path) -> dict[str, Any]:
    """The options of a named recipe, or of a YAML file.

    Raises:
        RecipeError: If there is no such name or file, or it is not a YAML mapping.
    """
    if str(recipe) in recipe_names():
        content = (_FOLDER / f"{recipe}.yaml").read_bytes()
    elif Path(recipe).is_file():
        content = read_bounded(recipe)
    else:
        hint = closest(str(recipe), recipe_names())
        raise RecipeError(f"recipe {str(recipe)!r} is neither a file nor a known name: {hint}")
    return parse_mapping(content, f"recipe {recipe}")


def build_recipe(recipe_class: type[Recipe], options: Mapping[str, Any]) -> Recipe:
    """A recipe from plain options, nested ones as mappings; what is not given has its default.

    Raises:
        RecipeError: If an option is unknown, of the wrong type, or impossible; the message suggests close names.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(recipe_class, as_group=False)
    try:
        return recipe_class(**vars(parser.instantiate(parser.parse_object(dict(options)))))
    except RecipeError:
        raise
    except (ArgumentError, KeyError, TypeError, ValueError) as error:  # jsonargparse has no one type for a bad option
        raise RecipeError(with_suggestion(str(error), parser.get_defaults().keys())) from error


def with_suggestion(message: str, names: Iterable[str]) -> str:
    """``message`` on one line, and the option that was probably meant, if it complains about an unknown one."""
    message = " ".join(message.split())
    unknown = re.search(r"(?:unrecognized arguments: --|option ')([\w.-]+)", message, flags=re.IGNORECASE)
    close = difflib.get_close_matches(unknown[1], list(names), n=1, cutoff=0.5) if unknown else []
    return f"{message}; did you mean {close[0]}?" if close else message


def closest(name: str, known: Iterable[str]) -> str:
    """A hint to the name that was probably meant, or to all there are."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def recipe_text(recipe: "DataclassInstance") -> str:
    """The YAML of a recipe with every option resolved: enough to repeat a run."""
    return yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False)


def _plain(value: Any) -> Any:  # noqa: ANN401  nested plain data
    """Tuples as lists, which is what YAML and JSON have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
