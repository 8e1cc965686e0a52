"""Words of users in tables and lines of the terminal."""

from rich.markup import escape

from modicum.storage.names import printable


def shown(text: str) -> str:
    """A text that rich prints as it is spelt: neither its brackets nor its control characters mean anything."""
    return escape(printable(text, keep="\n"))
