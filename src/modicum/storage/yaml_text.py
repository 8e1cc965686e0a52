"""YAML that users write: one mapping, of bounded size, without references."""

from pathlib import Path
from typing import Any, ClassVar

import yaml

from modicum.storage.errors import RecipeError

MAX_BYTES = 1_000_000  # recipes have a few thousand
MAX_DEPTH = 20


class _PlainLoader(yaml.SafeLoader):
    """A safe loader that refuses deep nesting, and aliases, which make a few lines into billions of values."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Composes the next node, within the bounds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"references are not allowed (*name, line {self._line()})")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} deep (line {self._line()})")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _line(self) -> int:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # its stubs say nothing of this one
        return int(event.start_mark.line) + 1 if event.start_mark else 0


class _TextLoader(_PlainLoader):
    """The same with every value as the text that stands there: ``no`` is no False, ``2019`` no number."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # its stubs say nothing of this one


def read_bounded(path: str | Path) -> bytes:
    """Reads the bytes of a user's text; raises `RecipeError` if it cannot be read or is too long."""
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{file} has {file.stat().st_size:,} bytes, more than any recipe: name another file")
        return file.read_bytes()
    except OSError as error:
        raise RecipeError(f"{file} cannot be read: {error.strerror or error}") from error


def parse_mapping(content: bytes, name: str, *, as_texts: bool = False) -> dict[str, Any]:
    """Parses the mapping in a YAML text.

    Args:
        content: The text, in UTF-8.
        name: Name of the text in messages.
        as_texts: Keep every value as its literal text.

    Raises:
        RecipeError: If it is not UTF-8, is not valid YAML, has references or is nested too deeply, or is no mapping.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{name} is not UTF-8, line {line}: save it as UTF-8") from error
    try:
        options = yaml.load(text, Loader=_TextLoader if as_texts else _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        raise RecipeError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict):
        raise RecipeError(f"{name} must be a mapping of options to values, got {type(options).__name__}")
    return options
