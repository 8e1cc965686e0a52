"""The templates of the report pages, and the words and signs that they share."""

import functools
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from modicum.reporting.quantities import format_interval, format_number, format_percent, format_share
from modicum.storage.names import printable


@functools.cache
def environment() -> Environment:
    """Where the pages' templates are, with the filters that they use."""
    made = Environment(
        loader=PackageLoader("modicum.reporting"),
        autoescape=True,  # class names, facts and recipes are the user's words
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "emphasise": _emphasise,
        "interval": format_interval,
        "number": format_number,
        "percent": format_percent,
        "share": format_share,
        "unbroken": keep_unbroken,
    }
    return made


def render_page(template: str, **words: Any) -> str:  # noqa: ANN401  whatever the template shows
    """The page of a template; names in it are shown whatever they hold, so that any page can be written as UTF-8."""
    return printable(environment().get_template(template).render(**words), keep="\t\n\r")


def keep_unbroken(text: str) -> str:
    """The text with each number on one line with its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _emphasise(text: str) -> Markup:
    """The text with its percentages and decibels in bold and unbroken."""
    emphasised = re.sub(r"\d+(\.\d+)? (%|dB)", r"<b>\g<0></b>", str(escape(text)))
    return Markup(emphasised)
