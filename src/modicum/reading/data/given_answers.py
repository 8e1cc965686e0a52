"""Answers in every form that files of questions give them in."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from modicum.reading.data.json_files import Node

ANSWER_NAMES = ("answers", "answer", "answer_text", "detected_answers")
"""Names of the field that holds the answers."""

_ARRAY = re.compile(r"\barray\((\[.*?\]),?\s*(?:dtype=\w+)?\)", re.DOTALL)  # as pandas writes it into a cell


class Given(NamedTuple):
    """An answer as a file gives it."""

    text: Node
    start: int | None  # None where the file does not say, or says something else than a number


def given_answers(question: Node) -> list[Given] | None:
    """Returns the answers of a question; None if its answer field is missing or null.

    They may be a list of texts or of ``{text, answer_start}``, one such object with a list in either field, or a text
    with the start in a field beside it. In a cell of a table, lists and objects may be written as JSON or as Python
    writes them.

    Raises:
        DataError: If they are something else.
    """
    field = next((question.get(name) for name in ANSWER_NAMES if question.has(name)), None)
    if field is None:
        return None
    value = _unwritten(field.value) if isinstance(field.value, str) else field.value
    if isinstance(value, str):
        return [Given(field, _number(question.get("answer_start").value))] if value.strip() else []
    return list(_of_value(Node(value, field.place), question.get("answer_start")))


def _of_value(field: Node, starts: Node) -> Iterator[Given]:
    """Yields the answers of an object or a list."""
    if isinstance(field.value, Mapping):
        texts, places = field.get("text"), field.get("answer_start").value
        if isinstance(texts.value, str):
            yield Given(texts, _number(places))
            return
        yield from _paired(texts, places)
    elif isinstance(starts.value, list):
        yield from _paired(field, starts.value)
    else:
        for each in field.items():
            is_text = isinstance(each.value, str)
            yield Given(each, None) if is_text else Given(each.get("text"), _number(each.get("answer_start").value))


def _paired(texts: Node, places: object) -> Iterator[Given]:
    """Pairs texts with their starts; missing starts are None."""
    known = places if isinstance(places, list) else []
    for number, text in enumerate(texts.items()):
        yield Given(text, _number(known[number]) if number < len(known) else None)


def _unwritten(cell: str) -> Any:  # noqa: ANN401  whatever a cell says
    """Parses the list or object that a cell holds; other cells stay text."""
    if not cell.lstrip().startswith(("{", "[")):
        return cell
    for read in (json.loads, ast.literal_eval, lambda text: ast.literal_eval(_ARRAY.sub(r"\1", text))):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if _is_answers(value):
            return value
    return cell  # such as "[sic]"


def _is_answers(value: object) -> bool:
    is_object = isinstance(value, Mapping) and "text" in value
    return is_object or (isinstance(value, list) and all(isinstance(each, str | Mapping) for each in value))


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
