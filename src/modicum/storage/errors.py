"""The errors that a caller may want to catch; the command line prints each as one line and exits with 2."""

from collections.abc import Sequence


class ModicumError(Exception):
    """What modicum raises when the input, not the program, is at fault; the message says what to do next."""


class DataError(ModicumError):
    """A data set or a file in it cannot be used: missing, empty, unreadable or inconsistent."""


class WeightsError(ModicumError):
    """A weights file cannot be loaded: truncated, of another format, of a newer version, or not fitting the network."""


class RunError(ModicumError):
    """A run folder cannot be used as asked: it is missing, unfinished, or belongs to another recipe."""


class RecipeError(ModicumError, ValueError):
    """A recipe states something impossible; also a `ValueError`, so that parsers of flags report it."""


class OutputError(DataError):
    """Something stands where an output is to go that must not be overwritten; it is left as it is."""


class DivergedError(ModicumError):
    """A training cannot go on, because its loss or weights are no longer numbers; its last checkpoint is good."""


class MissingExtraError(ModicumError, ImportError):
    """An optional dependency is not installed; the message is the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; {install_hint(extra)}")


def install_hint(extra: str) -> str:
    """Returns the command that installs an optional dependency; modicum itself is on no package index."""
    return f"in your clone of modicum, run: pip install -e '.[{extra}]'"


def first_few(items: Sequence[str], limit: int = 5) -> str:
    """Returns the first names of a list for a message, and how many more there are."""
    shown = ", ".join(repr(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
