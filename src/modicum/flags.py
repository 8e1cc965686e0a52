"""Flags from signatures: what the command line accepts is what the functions and recipes take."""

import argparse
import csv
import inspect
import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter

from modicum.contract import AnySystem, Recipe
from modicum.recipes import TEXT_LISTS, build_recipe, read_recipe, recipe_names, with_suggestion
from modicum.storage import RecipeError, RunFolder
from modicum.systems import SYSTEMS, get_system, recipe_for

SHORT = {"-o": "--out"}  # the one flag that everybody types short
HELP = ("-h", "--help")
_OF_ALL = ("data", "recipe", "out", "resume", "seed")  # options that every training needs sooner or later


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written; options with type and default, and with docstrings' per cent signs as signs."""


def verb_parser(name: str, help_text: str) -> ArgumentParser:
    """A parser that raises instead of exiting and takes no abbreviations."""
    return ArgumentParser(
        prog=f"modicum {name}",
        description=help_text,
        formatter_class=HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )


def parse_verb(
    parser: ArgumentParser,
    verb: Callable[..., object],
    words: Sequence[str],
    *,
    options: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """The arguments of ``verb`` from a command line: parameters without default stand by position, sequences last.

    A sequence that has a default may be empty.

    Args:
        parser: Where flags are added.
        verb: What is called.
        words: The command line.
        options: What ``verb`` hands its ``**options`` on to; None where it has none, or where no run says to whom:
            its help names the run first.

    Raises:
        RecipeError: If a flag is unknown or a value of the wrong type; the message suggests close names.
    """
    words = [_spelt(word) for word in words]
    if options is not None:
        if "run" in inspect.signature(verb).parameters:
            parser.add_argument("run", type=str | Path, help=_described(verb, "run"))
        verb = options
    parameters = inspect.signature(verb).parameters
    open_ended = [name for name, parameter in parameters.items() if parameter.kind is parameter.VAR_KEYWORD]
    if open_ended:
        parser.epilog = f"The options are those of the run's task: {parser.prog} RUN --help."
        for name in parameters:
            if name not in open_ended:
                nargs = "*" if get_origin(parameters[name].annotation) is Sequence else None
                parser.add_argument(name, nargs=nargs, help=_described(verb, name))
        return dict(vars(_parse(parser, words)))
    lists = [name for name, parameter in parameters.items() if get_origin(parameter.annotation) is Sequence]
    switches = [name for name, parameter in parameters.items() if parameter.default is False]
    if inspect.ismethod(verb):
        parser.add_method_arguments(type(verb.__self__), verb.__name__, as_group=False, skip={*lists, *switches})
    else:
        parser.add_function_arguments(verb, as_group=False, as_positional=True, skip={*lists, *switches})
    for name in lists:
        nargs = "+" if parameters[name].default is inspect.Parameter.empty else "*"
        parser.add_argument(name, nargs=nargs, help=_described(verb, name))
    for name in switches:
        parser.add_argument(f"--{name}", action="store_true", help=_described(verb, name))
    return dict(vars(_parse(parser, words)))


def parse_training(parser: ArgumentParser, words: Sequence[str]) -> dict[str, Any]:
    """The arguments of `modicum.verbs.train_recipe`: the flags are the options of the system's recipe.

    Their defaults are those of the named recipe that is chosen, so that the help shows them.

    Raises:
        RecipeError: If the system, the recipe or a flag is unknown, or a value impossible.
    """
    if not words or words[0].startswith("-"):
        parser.add_argument("system", choices=list(SYSTEMS), help="What to train; see: modicum train SYSTEM --help.")
        _parse(parser, words)
        raise RecipeError(f"train needs a system first, one of: {', '.join(SYSTEMS)}")
    system, words = get_system(words[0]), [_spelt(word) for word in words]
    system_parser = verb_parser(f"train {system.id}", parser.description or "")
    recipe_class, words = _add_recipe(system_parser, system, words)
    values = dict(vars(system_parser.instantiate(_parse(system_parser, words[1:]))))
    run = {"out": Path(values.pop("out")), "resume": values.pop("resume")}
    values.pop("recipe")
    return {"system": system, "recipe": recipe_class(**values), **run}


def training_help(words: Sequence[str], common: str) -> str:
    """Returns the help of `modicum train SYSTEM`: the options that matter most, or with ``all`` every one, in groups.

    Args:
        words: The command line after ``train``, the system first; an option that chooses the recipe chooses defaults.
        common: What is to be said of options that all commands take.

    Raises:
        RecipeError: If the recipe is unknown.
    """
    system = get_system(words[0])
    is_whole = "all" in words
    rest = [_spelt(word) for word in words if word not in HELP and word != "all"]
    parser = verb_parser(f"train {system.id}", "")
    parser.usage = argparse.SUPPRESS  # some 70 lines
    _add_recipe(parser, system, rest)
    options = re.sub(r"\x1b\[[0-9;]*m", "", parser.format_help()).lstrip()  # newer versions of argparse use colours
    if not is_whole:
        blocks = {match[1]: match[0] for match in re.finditer(r"^  --([\w.]+).*\n(?:   .*\n)*", options, re.MULTILINE)}
        chosen = [blocks[name] for name in (*_OF_ALL[:-1], *system.options, _OF_ALL[-1])]
        options = f"options that matter most:\n{''.join(chosen)}\nall options: {parser.prog} --help all\n"
    examples = "\n  ".join(system.examples)
    head = f"Trains {system.id}: {system.summary}.\nLeaves a run folder with weights, figures and a report."
    return f"{head}\n\nexamples:\n  {examples}\n\n{options}{common}"


def _add_recipe(parser: ArgumentParser, system: AnySystem, words: list[str]) -> tuple[type[Recipe], list[str]]:
    """Adds the flags of a system's recipe, with the chosen recipe's defaults; returns its class and the words."""
    interrupted = RunFolder(Path(_value_of("--out", words) or f"runs/{system.id}")).recipe
    if "--resume" in words and interrupted.exists():  # its own recipe, so that no flag need be given again
        name = str(interrupted)
    else:
        name = _value_of("--recipe", words) or recipe_for(system, _value_of("--data", words))
    _add_training_flags(parser, system.id)
    recipe_class = system.recipe
    parser.add_class_arguments(recipe_class, as_group=False)
    names = list(parser.get_defaults().keys())
    strict = next((name for name in names if name.endswith(".strict")), "strict")
    words = [word if word != "--strict" else f"--{strict}=true" for word in words]
    words = _with_text_lists(words, set(_text_lists(recipe_class)))
    options = read_recipe(name, recipe_class)
    data = _value_of("--data", words)
    given = options if data is None else {**options, "data": data}  # a file may say how to treat data that come by flag
    build_recipe(recipe_class, given)  # says what is wrong with the file, before other flags come into it
    parser.set_defaults(_flat(options, whole=set(parser.get_defaults().keys())))
    return recipe_class, words


def _add_training_flags(parser: ArgumentParser, system: str) -> None:
    own = [name for name in recipe_names() if name.startswith(f"{system}-")]
    parser.add_argument("--recipe", help=f"A YAML file, or one of: {', '.join(own)}.")
    parser.add_argument("--out", default=f"runs/{system}", help="The run folder.")
    parser.add_argument("--resume", action="store_true", help="Go on with a run that was interrupted.")


def _parse(parser: ArgumentParser, words: Sequence[str]) -> Any:  # noqa: ANN401  jsonargparse's namespace
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        raise RecipeError(with_suggestion(str(error), parser.get_defaults().keys())) from error


def _spelt(word: str) -> str:
    """A word of a command line as the parser knows it: ``--max-error=1`` is ``--max_error=1``."""
    if not word.startswith("--"):
        return SHORT.get(word, word)
    name, is_given, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{is_given}{value}"


def _text_lists(recipe_class: type, prefix: str = "") -> Iterator[str]:
    """Dotted names of the options that are lists of texts."""
    for name, hint in get_type_hints(recipe_class).items():
        if hint in TEXT_LISTS:
            yield f"{prefix}{name}"
        elif is_dataclass(hint) and isinstance(hint, type):
            yield from _text_lists(hint, f"{prefix}{name}.")


def _with_text_lists(words: Sequence[str], names: Container[str]) -> list[str]:
    """Words in which every list of texts is JSON: ``no,2019`` and ``[no, 2019]`` are two texts, not what YAML sees."""
    spelt, is_list = [], False
    for word in words:
        name, is_given, value = word[2:].partition("=")
        if is_list:
            spelt.append(_text_list(word))
        elif word.startswith("--") and is_given and name in names:
            spelt.append(f"--{name}={_text_list(value)}")
        else:
            spelt.append(word)
        is_list = not is_list and word.startswith("--") and not is_given and name in names
    return spelt


def _text_list(value: str) -> str:
    if value in ("null", ""):
        return "[]" if value == "" else value
    if not value.startswith("["):
        found = next(csv.reader([value], skipinitialspace=True))
        return json.dumps([text.strip() for text in found])
    try:
        listed = yaml.load(value, Loader=yaml.BaseLoader)  # makes texts of everything
    except yaml.YAMLError:
        return value  # the parser says what is wrong with it
    return json.dumps(listed)


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        if word == flag and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return None


def _flat(options: Mapping[str, Any], whole: Container[str], prefix: str = "") -> dict[str, Any]:
    """Nested options under dotted names, but for those that are one flag as a ``whole``, whatever they hold."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        name = f"{prefix}{key}"
        is_group = isinstance(value, Mapping) and name not in whole
        flat |= _flat(value, whole, f"{name}.") if is_group else {name: value}
    return flat


def _described(verb: Callable[..., Any], name: str) -> str:
    """Returns what the docstring of ``verb`` says of a parameter."""
    lines = inspect.getdoc(verb) or ""
    return next(
        (line.split(":", 1)[1].strip() for line in lines.splitlines() if line.strip().startswith(f"{name}:")), ""
    )
