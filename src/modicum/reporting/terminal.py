"""Words of users in tables and lines of the terminal."""

from rich.markup import escape

from modicum.storage.names import printable


def shown(text: str) -> str:
    """Escapes a text so that rich prints it literally, including brackets and control characters."""
    return escape(printable(text, keep="\n"))
