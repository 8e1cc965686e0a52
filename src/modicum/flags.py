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

from modicum.contract import AnySystem
from modicum.recipes import TEXT_LISTS, build_recipe, read_recipe, recipe_names, refuse_replaced, with_suggestion
from modicum.storage import RecipeError, RunFolder
from modicum.systems import SYSTEMS, get_system, recipe_for

SHORT = {"-o": "--out"}  # the one flag that everybody types short
_OF_ALL = ("data", "recipe", "out", "resume", "seed")  # options that every training needs sooner or later


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written; options with type and default, and with docstrings' per cent signs as signs."""


def verb_parser(name: str, help_text: str) -> ArgumentParser:
    """Builds a parser that raises instead of exiting and takes no abbreviations."""
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
    """Parses the arguments of ``verb``: parameters without default stand by position, sequences last.

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


def parse_training(parser: ArgumentParser, words: Sequence[str], common: str = "") -> dict[str, Any]:
    """Returns the arguments of `modicum.verbs.train_recipe`: the flags are the options of the system's recipe.

    Their defaults are those of the named recipe that is chosen, so that the help shows them. As with any parser,
    ``--help`` prints the help and ends the program.

    Args:
        parser: What says how the command is used where no system is named.
        words: The command line after ``train``, the system first.
        common: What the help says of options that all commands take.

    Raises:
        RecipeError: If the system, the recipe or a flag is unknown, or a value impossible.
    """
    if not words or words[0].startswith("-"):
        parser.add_argument("system", choices=list(SYSTEMS), help="What to train; see: modicum train SYSTEM --help.")
        _parse(parser, words)
        raise RecipeError(f"train needs a system first, one of: {', '.join(SYSTEMS)}")
    system, words = get_system(words[0]), [_spelt(word) for word in words[1:]]
    refuse_replaced(system.recipe, (word[2:].partition("=")[0] for word in words if word.startswith("--")))
    parser = verb_parser(f"train {system.id}", "")
    _add_run_options(parser, system)
    parser.add_class_arguments(system.recipe, as_group=False)
    first = _first_parser()  # what chooses the recipe, whose values are the defaults of the other options
    _add_run_options(first, system)
    first.add_argument("--data")
    first.add_argument("-h", "--help", nargs="?", const="")
    chosen, _ = _parse_known(first, words)
    _set_defaults(parser, system, chosen)
    if chosen.help is not None:
        print(_training_help(parser, system, common, is_whole=chosen.help == "all"))
        parser.exit()
    values = dict(vars(parser.instantiate(_parse(parser, _as_yaml(system.recipe, words)))))
    run = {"out": Path(values.pop("out")), "resume": values.pop("resume")}
    values.pop("recipe")
    return {"system": system, "recipe": system.recipe(**values), **run}


def _set_defaults(parser: ArgumentParser, system: AnySystem, chosen: argparse.Namespace) -> None:
    """Sets the defaults of the flags to the values of the chosen recipe."""
    interrupted = RunFolder(Path(chosen.out)).recipe
    if chosen.resume and interrupted.exists():  # its own recipe, so that no flag need be given again
        name = str(interrupted)
    else:
        name = chosen.recipe or recipe_for(system, chosen.data)
    options = read_recipe(name, system.recipe, of_run=name == str(interrupted))
    # A file may say how to treat data that come by flag.
    given = options if chosen.data is None else {**options, "data": chosen.data}
    build_recipe(system.recipe, given)  # says what is wrong with the file, before other flags come into it
    parser.set_defaults(_flat(options, whole=set(parser.get_defaults().keys())))


def _training_help(parser: ArgumentParser, system: AnySystem, common: str, *, is_whole: bool) -> str:
    """Returns the help of `modicum train SYSTEM`: the options that matter most, or every one, in groups."""
    parser.usage = argparse.SUPPRESS  # some 70 lines
    options = re.sub(r"\x1b\[[0-9;]*m", "", parser.format_help()).lstrip()  # newer versions of argparse use colours
    if not is_whole:
        blocks = {match[1]: match[0] for match in re.finditer(r"^  --([\w.]+).*\n(?:   .*\n)*", options, re.MULTILINE)}
        shown = [blocks[name] for name in (*_OF_ALL[:-1], *system.options, _OF_ALL[-1])]
        options = f"options that matter most:\n{''.join(shown)}\nall options: {parser.prog} --help all\n"
    examples = "\n  ".join(system.examples)
    head = f"Trains {system.id}: {system.summary}.\nLeaves a run folder with weights, figures and a report."
    return f"{head}\n\nexamples:\n  {examples}\n\n{options}{common}"


def _add_run_options(parser: argparse.ArgumentParser, system: AnySystem) -> None:
    own = [name for name in recipe_names() if name.startswith(f"{system.id}-")]
    parser.add_argument("--recipe", help=f"A YAML file, or one of: {', '.join(own)}.")
    parser.add_argument("--out", default=f"runs/{system.id}", help="The run folder.")
    parser.add_argument("--resume", action="store_true", help="Go on with a run that was interrupted.")


def _parse(parser: ArgumentParser, words: Sequence[str]) -> Any:  # noqa: ANN401  jsonargparse's namespace
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        raise RecipeError(with_suggestion(str(error), parser.get_defaults().keys())) from error


def _first_parser() -> argparse.ArgumentParser:
    """Returns a parser that reads some options and leaves the others, which those of jsonargparse refuse to do."""
    return argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)


def _parse_known(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    try:
        return parser.parse_known_args(words)
    except ArgumentError as error:
        raise RecipeError(str(error)) from error


def _spelt(word: str) -> str:
    """Spells a word of a command line as the parser knows it: ``--max-error=1`` is ``--max_error=1``."""
    if not word.startswith("--"):
        return SHORT.get(word, word)
    name, is_given, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{is_given}{value}"


def _options(recipe_class: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the dotted name and the type of each option of a recipe."""
    for name, hint in get_type_hints(recipe_class).items():
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _options(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def _as_yaml(recipe_class: type, words: Sequence[str]) -> list[str]:
    """Spells out ``--strict`` as the option of the recipe's data, and lists of texts, ``a,2`` or ``a 2``, as JSON."""
    first = _first_parser()
    for name, hint in _options(recipe_class):
        if hint in TEXT_LISTS:
            first.add_argument(f"--{name}", nargs="+", type=_text_list)
        elif name.endswith(".strict"):
            first.add_argument("--strict", dest=name, action="store_const", const="true")
    given, rest = _parse_known(first, words)
    listed = {name: _joined(value) if isinstance(value, list) else value for name, value in vars(given).items()}
    return [*(f"--{name}={value}" for name, value in listed.items() if value is not None), *rest]


def _joined(lists: Sequence[str]) -> str:
    """Joins the JSON lists of an option that was given several words, ``--members a b``; one alone stays as it is."""
    if len(lists) == 1:
        return lists[0]
    return json.dumps([text for each in lists for text in json.loads(each)])


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


def _flat(options: Mapping[str, Any], whole: Container[str], prefix: str = "") -> dict[str, Any]:
    """Returns nested options under dotted names, but for those that are one flag as a ``whole``, whatever they hold."""
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
