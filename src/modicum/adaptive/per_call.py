"""Hands layers the values of a single call; the network does not keep them, so threads may share it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class PerCall(Generic[T]):
    """A value that layers deep inside a foreign network read while one call runs, in the thread that makes the call.

    A backbone of torchvision or timm hands its layers nothing but features, so a route cannot travel as an argument.
    Threads and asyncio tasks each see their own value; so does a copy of this object.

    Args:
        default: The value outside any call.
    """

    def __init__(self, default: T) -> None:
        self._default = default
        self._value: ContextVar[T] = ContextVar("modicum.per_call", default=default)

    @property
    def value(self) -> T:
        """The value of the innermost call under way here."""
        return self._value.get()

    @contextmanager
    def holding(self, value: T) -> Iterator[None]:
        """Runs the body, one call, with ``value``."""
        token = self._value.set(value)
        try:
            yield
        finally:
            self._value.reset(token)  # also keeps the thread's context from holding on to a network that is gone

    def __reduce__(self) -> tuple[type["PerCall[T]"], tuple[T]]:
        """Copies and pickles as a new object outside any call: a context variable can do neither."""
        return type(self), (self._default,)
