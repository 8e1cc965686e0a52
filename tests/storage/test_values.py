import math
from dataclasses import dataclass, field
from typing import Literal

import pytest

from modicum.storage.values import UNSTORED, finite, from_plain, renaming, to_plain


@dataclass(frozen=True)
class Inner:
    name: str
    value: float = 0.0


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    count: int
    inner: Inner
    many: tuple[Inner, ...] = ()
    shares: dict[str, float] | None = None
    is_new: bool = False
    picture: object = field(default=None, metadata=UNSTORED)


OUTER = Outer("a", 3, Inner("x", math.inf), (Inner("y"), Inner("z", 0.5)), {"p": -math.inf}, is_new=True)
PLAIN = to_plain(OUTER)


def test_record_comes_back_equal_without_what_is_not_stored():
    assert from_plain(Outer, to_plain(Outer("b", 1, Inner("x"), picture=object()))) == Outer("b", 1, Inner("x"))
    assert from_plain(Outer, PLAIN) == OUTER


def test_numbers_that_are_not_finite_are_words():
    assert PLAIN["inner"] == {"name": "x", "value": "inf"}
    assert math.isnan(from_plain(Inner, to_plain(Inner("x", math.nan))).value)


def test_names_of_fields_may_be_written_as_other_keys():
    forms = {Inner: renaming(name="label")}
    written = to_plain(OUTER, forms)
    assert written["many"][0] == {"label": "y", "value": 0.0}
    assert from_plain(Outer, written, forms) == OUTER


def test_missing_fields_take_their_defaults_and_unknown_keys_are_ignored():
    assert from_plain(Inner, {"name": "x", "more": 1}) == Inner("x")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"kind": "c"}, "got 'c'"),
        ({"count": "many"}, "invalid literal"),
        ({"count": None}, "expected int, got None"),
        ({"inner": []}, r"expected an object, got \[\]"),
        ({"inner": {"value": 1.0}}, "'name' is missing"),
        ({"many": 3}, "got 3"),
        ({"shares": []}, r"got \[\]"),
    ],
)
def test_damage_is_named(damage, message):
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, PLAIN | damage)


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="object is no JSON data"):
        to_plain(Outer("a", object(), Inner("x")))


def test_finite_leaves_null_for_other_numbers():
    assert finite({"a": [math.nan, 1.5, {"b": -math.inf}], "c": "inf"}) == {"a": [None, 1.5, {"b": None}], "c": "inf"}
