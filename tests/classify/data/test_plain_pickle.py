import contextlib
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.classify.data.plain_pickle import Call, read_plain_pickle

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(min_size=1)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_as_pickle_reads_it(value, protocol):
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_give_an_object_or_a_value_error(content):
    with contextlib.suppress(ValueError):
        read_plain_pickle(content + b".")


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("it was executed",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_calls_are_recorded_and_not_made(protocol):
    call = read_plain_pickle(pickle.dumps({"data": Harmful()}, protocol))["data"]
    assert isinstance(call, Call)
    assert call.function.endswith("mkdir")
    assert call.arguments == ("it was executed",)


def test_truncated_pickle_is_refused():
    with pytest.raises(ValueError, match=r"pickle exhausted|malformed|not enough|expected"):
        read_plain_pickle(pickle.dumps({"a": list(range(50))}, 2)[:-10])


def test_opcode_beyond_plain_data_is_refused():
    with pytest.raises(ValueError, match="opcode PERSID is not used by plain data"):
        read_plain_pickle(b"Pname\n.")
