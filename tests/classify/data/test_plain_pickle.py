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


class Rebuilt:
    def __init__(self, function, *arguments):
        self.wanted = (function, arguments)

    def __reduce__(self):
        return self.wanted


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(bytearray, (10**12,)), (eval, ("1 / 0",)), (getattr, (os.mkdir, "__self__"))],
    ids=["huge", "evaluated", "looked up"],
)
def test_hostile_arguments_are_recorded_as_they_are(function, arguments):
    call = read_plain_pickle(pickle.dumps(Rebuilt(function, *arguments), 2))
    assert isinstance(call, Call)
    assert call.arguments[-1] == arguments[-1]
    assert call.function.endswith(f".{function.__name__}")


def test_reconstruction_of_a_huge_array_allocates_nothing():
    call = read_plain_pickle(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntV|u1\ntR.")
    assert call.function == "numpy.core.multiarray._reconstruct"
    assert call.arguments[1:] == ((10**12,), "|u1")


@pytest.mark.parametrize("arguments", [b"(I5\nVlatin1\nt", b")", b"(V1\nVrot13\nt", b"(V1\nVlatin1\nVignore\nt"])
def test_codec_is_applied_to_nothing_but_text_in_latin1(arguments):
    assert isinstance(read_plain_pickle(b"c_codecs\nencode\n" + arguments + b"R."), Call)


def test_text_beyond_latin1_is_refused():
    with pytest.raises(ValueError, match="can't encode"):
        read_plain_pickle(b"c_codecs\nencode\n(V\\u1234\nVlatin1\ntR.")


@pytest.mark.parametrize("state", [b"}", b"(N}V__doc__\nV1\nst", b"(N}V_path\nVeval\nst"])
@pytest.mark.parametrize("target", [b"cos\nsystem\n", b"]", b"V1\n", b"N"])
def test_state_is_set_on_calls_alone(target, state):
    with pytest.raises(ValueError, match=r"state of something|malformed"):
        read_plain_pickle(target + state + b"b.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"]r\xff\xff\xff\x7f.", "memo index 2147483647 after 1 opcodes"),
        (b"]p-1\n.", "memo index -1 after 1 opcodes"),
        (b"\x8e" + (2**40).to_bytes(8, "little") + b".", "expected 1099511627776 bytes"),
        (b"B" + (2**31).to_bytes(4, "little") + b".", "expected 2147483648 bytes"),
        (b"X" + (2**31).to_bytes(4, "little") + b".", "expected 2147483648 bytes"),
        (b"\x96" + (2**40).to_bytes(8, "little") + b".", "expected 1099511627776 bytes"),
        (b"\x95" + (2**40).to_bytes(8, "little") + b"].", "truncated"),
        (b"L" + b"9" * 5000 + b"L\n.", "4300 digits"),
    ],
    ids=["memo", "negative", "bytes8", "bytes", "text", "bytearray", "frame", "digits"],
)
def test_size_that_a_few_bytes_claim_is_refused_before_it_is_allocated(content, message):
    with pytest.raises(ValueError, match=message):
        read_plain_pickle(content)


@pytest.mark.parametrize(
    "content",
    [b"})" + b"\x85" * 100_000 + b"Ns.", b"]" * 100_000 + b"a" * 99_999 + b".", b"N" + b"ca\nb\n)R" * 100_000 + b"."],
    ids=["tuples as a key", "lists", "calls"],
)
def test_deep_nesting_is_refused_before_anything_recurses(content):
    with pytest.raises(ValueError, match="containers and calls, at most 200 are read"):
        read_plain_pickle(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"NQ.", "BINPERSID"),
        (b"(cos\nsystem\no.", "OBJ"),
        (b"(ios\nsystem\n.", "INST"),
        (b"cos\nsystem\n)\x81.", "NEWOBJ"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x8f.", "EMPTY_SET"),
    ],
)
def test_opcode_that_names_or_builds_other_objects_is_refused(content, name):
    with pytest.raises(ValueError, match=f"opcode {name} is not used by plain data"):
        read_plain_pickle(content)


def test_truncated_pickle_is_refused():
    with pytest.raises(ValueError, match=r"pickle exhausted|malformed|not enough|expected"):
        read_plain_pickle(pickle.dumps({"a": list(range(50))}, 2)[:-10])


def test_opcode_beyond_plain_data_is_refused():
    with pytest.raises(ValueError, match="opcode PERSID is not used by plain data"):
        read_plain_pickle(b"Pname\n.")
