"""The named recipes that ship with the package, and reading and writing recipes as YAML."""

import difflib
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from modicum.storage.errors import RecipeError
from modicum.storage.yaml_text import parse_mapping, read_bounded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Recipe = TypeVar("Recipe")

TEXT_LISTS = (tuple[str, ...], tuple[str, ...] | None)
"""Types of options that are lists of texts."""

MAX_SEED = 2**32 - 1  # of NumPy's older generators, which Lightning seeds, too

_TEXTS = (str, str | None)
_FOLDER = resources.files("modicum.recipes")


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the recipes in the package, sorted."""
    files = (Path(entry.name) for entry in _FOLDER.iterdir())
    return tuple(sorted(file.stem for file in files if file.suffix == ".yaml"))


def read_recipe(recipe: str | Path, recipe_class: type | None = None, *, of_run: bool = False) -> dict[str, Any]:
    """Reads the options of a named recipe, or of a YAML file.

    Args:
        recipe: The name or the file.
        recipe_class: The recipe they are for: options that are texts, or lists of texts, are then taken as they
            are written, so that a column may be called ``no`` or ``2019`` without quotation marks, and its function
            ``without_retired``, where it has one, drops the options that older runs had.
        of_run: It is that of a run, which may be older: options that were replaced are then translated, not refused.

    Raises:
        RecipeError: If there is no such name or file, it is not a YAML mapping, or asks for what was removed.
    """
    if str(recipe) in recipe_names():
        content = (_FOLDER / f"{recipe}.yaml").read_bytes()
    elif Path(recipe).is_file():
        content = read_bounded(recipe)
    else:
        hint = closest(str(recipe), recipe_names())
        raise RecipeError(f"recipe {str(recipe)!r} is neither a file nor a known name: {hint}")
    options = parse_mapping(content, f"recipe {recipe}")
    if recipe_class is None:
        return options
    options = _with_texts(options, parse_mapping(content, f"recipe {recipe}", as_texts=True), recipe_class)
    without_retired: Callable[..., dict[str, Any]] | None = getattr(recipe_class, "without_retired", None)
    options = without_retired(options, of_run=of_run) if without_retired else options
    refuse_replaced(recipe_class, _dotted(options))
    return options


def refuse_replaced(recipe_class: type, names: Iterable[str]) -> None:
    """Refuses options that a recipe does not have any more, with what to write instead.

    Args:
        recipe_class: Its ``REFUSED``, where it has that, says what to answer, by dotted name.
        names: Dotted names of options.

    Raises:
        RecipeError: If one was replaced.
    """
    refused: Mapping[str, str] = getattr(recipe_class, "REFUSED", {})
    for name in names:
        if name in refused:
            raise RecipeError(refused[name])


def _dotted(options: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in options.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")


def build_recipe(recipe_class: type[Recipe], options: Mapping[str, Any]) -> Recipe:
    """Builds a recipe from plain options, nested ones as mappings; omitted options have their defaults.

    Raises:
        RecipeError: If an option is unknown, of the wrong type, or impossible; the message suggests close names.
    """
    refuse_replaced(recipe_class, _dotted(options))
    kind: type = recipe_class
    parser = _parser_of(kind)
    try:
        recipe = recipe_class(**vars(parser.instantiate(parser.parse_object(dict(options)))))
    except RecipeError:
        raise
    except (ArgumentError, KeyError, TypeError, ValueError) as error:  # jsonargparse has no one type for a bad option
        raise RecipeError(with_suggestion(str(error), parser.get_defaults().keys())) from error
    recipe = _with_given_texts(recipe, options)
    check_numbers(recipe)
    return recipe


@functools.cache
def _parser_of(recipe_class: type) -> ArgumentParser:
    """Returns the parser of a recipe's options, which takes as long to make as a recipe takes to parse."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(recipe_class, as_group=False)
    return parser


def check_numbers(recipe: object, prefix: str = "") -> None:
    """Raises RecipeError for numbers that no recipe can have.

    Raises:
        RecipeError: If a number is NaN or infinite, or a seed is out of range.
    """
    for option in fields(recipe) if is_dataclass(recipe) else ():
        name, value = f"{prefix}{option.name}", getattr(recipe, option.name)
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise RecipeError(f"{name} must be finite, got {number}")
        if option.name == "seed" and not 0 <= value <= MAX_SEED:
            raise RecipeError(f"{name} must be from 0 to {MAX_SEED:,}, got {value}")
        check_numbers(value, f"{name}.")


def with_suggestion(message: str, names: Iterable[str]) -> str:
    """Returns ``message`` on one line, with the option that was probably meant if it names an unknown one."""
    message = " ".join(message.split())
    unknown = re.search(r"(?:unrecognized arguments: --|option ')([\w.-]+)", message, flags=re.IGNORECASE)
    close = difflib.get_close_matches(unknown[1], list(names), n=1, cutoff=0.5) if unknown else []
    return f"{message}; did you mean {close[0]}?" if close else message


def closest(name: str, known: Iterable[str]) -> str:
    """Returns a hint to the name that was probably meant, or to all names.

    Example:
        >>> closest("drnett", ["drnet", "ranet"])
        'did you mean drnet?'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def recipe_text(recipe: "DataclassInstance") -> str:
    """Returns the YAML of a recipe with every option resolved: enough to repeat a run."""
    return yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False)


def _with_texts(options: Mapping[str, Any], texts: Mapping[str, Any], recipe_class: type) -> dict[str, Any]:
    """Returns options with text values exactly as they are written."""
    hints, found = get_type_hints(recipe_class), dict(options)
    for name, value in options.items():
        hint = hints.get(name)
        is_text = hint in _TEXTS and value is not None and not isinstance(value, list | Mapping)
        if is_text or (hint in TEXT_LISTS and isinstance(value, list)):
            found[name] = texts[name]
        elif isinstance(value, Mapping) and isinstance(hint, type) and is_dataclass(hint):
            found[name] = _with_texts(value, texts[name], hint)
    return found


def _with_given_texts(recipe: Any, options: Mapping[str, Any]) -> Any:  # noqa: ANN401  any recipe
    """Returns a recipe with texts exactly as given: the parser turns the text "null" into None."""
    hints, changed = get_type_hints(type(recipe)), {}
    for name, value in options.items():
        built = getattr(recipe, name)
        if isinstance(value, Mapping) and is_dataclass(built):
            changed[name] = _with_given_texts(built, value)
        elif isinstance(value, str) and hints[name] in _TEXTS:
            changed[name] = value
    return replace(recipe, **{name: value for name, value in changed.items() if value != getattr(recipe, name)})


def _plain(value: object) -> object:
    """Converts tuples to lists, which YAML and JSON have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
