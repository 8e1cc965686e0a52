"""Reads pickles as data: lists, dicts, numbers and strings come out; what the pickle wants called is only recorded.

`pickle.load` runs whatever a file asks for, so files from elsewhere must not meet it. Here the opcodes that
`pickletools` reads drive a small stack machine that imports nothing and calls nothing.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The contents of a pickle have no static type, hence `Any` for what stands on the stack.


@dataclass(eq=False)
class Call:
    """A call that the pickle asks for and that was not made.

    Attributes:
        function: Dotted name of the function or class, e.g. ``"numpy.dtype"``.
        arguments: Its positional arguments.
        state: What the pickle would have handed to ``__setstate__`` afterwards, or None.
    """

    function: Any
    arguments: tuple[Any, ...]
    state: Any = None


def read_plain_pickle(content: bytes) -> object:
    """The object in a pickle, with every call in it left as a `Call`.

    Byte strings of Python 2 come out as str, one character per byte (Latin-1).

    Raises:
        ValueError: If the pickle is truncated, malformed, or uses an opcode that plain data and arrays do not need.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        result: object = machine.stack.pop()
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"malformed pickle: {error!r}") from error
    return result


class _Machine:
    """The stack, the marks and the memo of the pickle format."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: object) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"opcode {name} is not used by plain data")

    def mark(self, _: object) -> None:
        self._outer.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._outer.pop()
        return items

    def append(self, _: object) -> None:
        item = self.stack.pop()
        self.stack[-1].append(item)

    def appends(self, _: object) -> None:
        items = self.pop_to_mark()
        self.stack[-1].extend(items)

    def set_item(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def set_items(self, _: object) -> None:
        items = self.pop_to_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def list_to_mark(self, _: object) -> None:
        items = self.pop_to_mark()  # first, as it changes which stack is the current one
        self.stack.append(items)

    def dict_to_mark(self, _: object) -> None:
        items = self.pop_to_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def tuple_to_mark(self, _: object) -> None:
        items = self.pop_to_mark()
        self.stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def put(self, key: int | None) -> None:
        self._memo[len(self._memo) if key is None else key] = self.stack[-1]  # None: MEMOIZE counts for itself

    def get(self, key: int) -> None:
        self.stack.append(self._memo[key])

    def name_global(self, argument: str) -> None:
        self.stack.append(argument.replace(" ", "."))

    def name_stack_global(self, _: object) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(f"{module}.{name}")

    def record_call(self, _: object) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function == "_codecs.encode" and arguments[1:] == ("latin1",):
            # The form in which Python 3 writes bytes below protocol 3; the one thing that is carried out, by ourselves.
            self.stack.append(arguments[0].encode("latin-1"))
        else:
            self.stack.append(Call(function, tuple(arguments)))

    def record_state(self, _: object) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Call):
            raise ValueError("the pickle sets the state of something that is not an object")
        self.stack[-1].state = state


_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "LIST": _Machine.list_to_mark,
    "DICT": _Machine.dict_to_mark,
    "TUPLE": _Machine.tuple_to_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name_global,
    "STACK_GLOBAL": _Machine.name_stack_global,
    "REDUCE": _Machine.record_call,
    "BUILD": _Machine.record_state,
}
