"""Texts as a terminal can show them: in one line, without characters that it would obey."""

import re

# Controls of terminals, and marks that change the direction of what follows.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    r"""A text in one line, with escapes for what must not reach a terminal.

    Example:
        >>> one_line("two\n lines \x1b[31m")
        'two lines \\x1b[31m'
    """
    return _UNSEEN.sub(_escaped, " ".join(text.split()))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
