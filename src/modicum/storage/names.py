"""Names of files and classes are the user's words, or a stranger's: how they are shown, and put into tables.

A name may hold anything but a slash and NUL: bytes that are not UTF-8, which Python keeps as lone surrogates and no
encoder takes; sequences that move a terminal's cursor; letters that turn the direction of writing; formulas.
"""

import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, format characters, lone surrogates, line separators
_JOINERS = "\u200c\u200d"  # Cf, and part of ordinary words in Persian, Hindi and others, and of emoji
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str, keep: str = "") -> str:
    r"""Escapes characters of a text that are invisible, affect the display or cannot be written as UTF-8.

    Args:
        text: Any text, such as the name of a file.
        keep: Control characters that stay, such as line ends.

    Example:
        >>> printable("tom\x1b[2J.png")
        'tom\\x1b[2J.png'
        >>> printable("caf\udce9.png")  # a name in Latin-1
        'caf\\udce9.png'
    """
    if text.isprintable():
        return text
    return "".join(_shown(sign) if _is_unseen(sign) and sign not in keep else sign for sign in text)


def spreadsheet_text(text: str) -> str:
    """Returns a text as a table cell that no spreadsheet reads as a formula: an apostrophe marks it as text.

    Numbers stay unchanged.

    Example:
        >>> spreadsheet_text("=1+1"), spreadsheet_text("-5"), spreadsheet_text("cat")
        ("'=1+1", '-5', 'cat')
    """
    is_formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def _is_unseen(sign: str) -> bool:
    return unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS


def _shown(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
