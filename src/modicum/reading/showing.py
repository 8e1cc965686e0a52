"""Texts of strangers on lines of a terminal."""

from modicum.storage.names import printable


def one_line(text: str) -> str:
    r"""Returns a text in one line, with escapes for what must not reach a terminal.

    Example:
        >>> one_line("two\n lines \x1b[31m")
        'two lines \\x1b[31m'
    """
    return printable(" ".join(text.split()))
