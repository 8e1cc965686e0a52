"""Dataclasses as plain JSON data, and back: the types of the fields say how to read them.

JSON has no word for NaN and infinity: they are written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from modicum.storage.files import JSON

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

UNSTORED: Mapping[str, bool] = {"unstored": True}
"""Metadata of a field with a default that is not written, such as a picture."""


class Form(NamedTuple):
    """Renames the fields of dataclasses between code and files, in both directions."""

    write: Callable[[Mapping[str, JSON]], dict[str, JSON]]  # from fields to keys
    read: Callable[[Mapping[str, JSON]], dict[str, JSON]]  # from keys to fields; what is missing stays missing


NO_FORMS: Mapping[type, Form] = {}


def renaming(**keys: str) -> Form:
    """Returns the form in which the fields named here are written as other keys."""
    fields = {key: name for name, key in keys.items()}
    return Form(
        lambda written: {keys.get(name, name): value for name, value in written.items()},
        lambda raw: {fields.get(key, key): value for key, value in raw.items()},
    )


def to_plain(record: "DataclassInstance", forms: Mapping[type, Form] = NO_FORMS) -> dict[str, JSON]:
    """Converts a dataclass to plain JSON data; `from_plain` gives an equal one.

    Args:
        record: Of dataclasses, mappings, sequences, numbers and texts, at any depth.
        forms: Of dataclasses that files write under other keys.

    Raises:
        TypeError: If it holds something else.
    """
    stored = {field.name: getattr(record, field.name) for field in fields(record) if field.metadata != UNSTORED}
    plain = {name: _plain(value, forms) for name, value in stored.items()}
    form = forms.get(type(record))
    return plain if form is None else form.write(plain)


def _plain(value: object, forms: Mapping[type, Form]) -> JSON:
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(value, forms)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(item, forms) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, forms) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a {type(value).__name__} is no JSON data: {value!r}")


def from_plain(kind: type[Record], raw: object, forms: Mapping[type, Form] = NO_FORMS) -> Record:
    """Rebuilds the dataclass that `to_plain` made plain; ignores keys without a field.

    Args:
        kind: A dataclass of texts, numbers, literals, dataclasses, and optional ones, tuples and dictionaries of them.
        raw: What a file holds.
        forms: As for `to_plain`.

    Raises:
        ValueError: If something is missing, or of another kind.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object, got {raw!r}")
    if (form := forms.get(kind)) is not None:
        raw = form.read(raw)
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):
        if field.name in raw and field.metadata != UNSTORED:
            values[field.name] = _read(hints[field.name], raw[field.name], forms)
        elif field.default is MISSING:
            raise ValueError(f"{field.name!r} is missing")
    return kind(**values)


def _read(kind: object, raw: object, forms: Mapping[type, Form]) -> object:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (present,) = (part for part in parts if part is not NoneType)
        return None if raw is None else _read(present, raw, forms)
    if origin is tuple and isinstance(raw, list | tuple):
        return tuple(_read(parts[0], item, forms) for item in raw)
    if origin is dict and isinstance(raw, Mapping):
        return {str(name): _read(parts[1], item, forms) for name, item in raw.items()}
    if origin is Literal and raw in parts:
        return raw
    if isinstance(kind, type) and is_dataclass(kind):
        return from_plain(kind, raw, forms)
    if kind in (bool, int, float, str) and isinstance(kind, type) and isinstance(raw, bool | int | float | str):
        return kind(raw)
    raise ValueError(f"expected {getattr(kind, '__name__', kind) if origin is None else kind}, got {raw!r}")


@overload
def finite(value: JSON) -> JSON: ...
@overload
def finite(value: object) -> object: ...
def finite(value: object) -> object:
    """Returns plain data with None for numbers that are not finite, for readers without a word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
