"""Reads pickles as data: lists, dicts, numbers and strings come out; what the pickle wants called is only recorded.

`pickle.load` runs whatever a file asks for, so files from elsewhere must not meet it. Here `pickle` builds nothing but
plain data: every name in a file becomes a `_Name`, which imports nothing and records a call instead of making it, and
opcodes that plain data and arrays do not need are refused before anything is built.
"""

import io
import pickle
import pickletools
from dataclasses import dataclass
from typing import Any

# The contents of a pickle have no static type, hence `Any` for what is in a call.

MAX_NESTED = 200  # containers and calls of one pickle; deeper ones exhaust the stack of whoever hashes or prints them
MEMO_GAP = 256  # by which Python 2 numbers ahead of what it writes; the memo gets as long as its largest index

_NESTED = frozenset(
    ("EMPTY_LIST", "LIST", "EMPTY_DICT", "DICT", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE")
)
_OPCODES = _NESTED | {
    *("PROTO", "FRAME", "MARK", "STOP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "BUILD"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
}


@dataclass(eq=False, slots=True)
class Call:
    """A call that the pickle asks for and that was not made.

    Attributes:
        function: Dotted name of the function or class, e.g. ``"numpy.dtype"``.
        arguments: Its positional arguments.
        state: What the pickle would have handed to ``__setstate__`` afterwards, or None.
    """

    function: str
    arguments: tuple[Any, ...]
    state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Name:
    """Stands for an object that a pickle names: calling it is recorded, and does nothing else."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *arguments: Any) -> Call | bytes:  # noqa: ANN401  contents of a pickle
        if self._path == "_codecs.encode" and arguments[1:] == ("latin1",) and isinstance(arguments[0], str):
            # The form in which Python 3 writes bytes below protocol 3; the one thing that is carried out.
            return arguments[0].encode("latin-1")
        return Call(self._path, arguments)

    def __setstate__(self, state: object) -> None:
        raise ValueError("the pickle sets the state of something that is not an object")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Name:
        return _Name(f"{module}.{name}")


def read_plain_pickle(content: bytes) -> object:
    """Reads the object in a pickle, leaving every call in it as a `Call`.

    Byte strings of Python 2 come out as str, one character per byte (Latin-1).

    Raises:
        ValueError: If the pickle is truncated, malformed, or uses an opcode that plain data and arrays do not need.
    """
    _check_opcodes(content)
    try:
        found: object = _PlainUnpickler(io.BytesIO(content), fix_imports=False, encoding="latin-1").load()
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"malformed pickle: {error!r}") from error
    return found


def _check_opcodes(content: bytes) -> None:
    """Raises ValueError on opcodes that plain data do not need, and on those that only exhaust memory or the stack."""
    nested = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise ValueError(f"opcode {opcode.name} is not used by plain data")
        if opcode.name.endswith("PUT") and argument not in range(count + MEMO_GAP):
            raise ValueError(f"malformed pickle: memo index {argument} after {count} opcodes")
        nested += opcode.name in _NESTED
    if nested > MAX_NESTED:
        raise ValueError(f"the pickle holds {nested} containers and calls, at most {MAX_NESTED} are read")
