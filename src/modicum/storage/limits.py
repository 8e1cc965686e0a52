"""Bounds on what a weights file may make us build: about what it holds tensors for, so that no config exhausts us.

Every tensor that a builder asks for is first made on the meta device, where it takes no memory, and only then, if it is
within the bounds, for real. Not the whole network at once: many builders compute with small tensors.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from modicum.storage.errors import WeightsError
from modicum.storage.header import TensorEntry

# A builder may make parts that it throws away, such as the head of a library's network, and modules without weights.
_SLACK = 4
_FREE_TENSORS, _FREE_NUMBERS, _FREE_MODULES = 1000, 10_000_000, 10_000
_SIZED = ("empty", "empty_strided", "eye", "full", "ones", "rand", "randint", "randn", "zeros")
_FACTORIES = frozenset(getattr(torch, name) for name in (*_SIZED, "arange", "linspace", "randperm"))


@dataclass(frozen=True)
class Limits:
    """Bounds what a network may register while it is built."""

    tensors: int
    numbers: int  # elements of all tensors
    modules: int

    @classmethod
    def of(cls, tensors: Mapping[str, TensorEntry]) -> "Limits":
        """Returns the limits of the network that a file with these tensors can hold."""
        numbers = sum(prod(entry.shape) for entry in tensors.values())
        return cls(
            _SLACK * len(tensors) + _FREE_TENSORS,
            _SLACK * numbers + _FREE_NUMBERS,
            2 * _SLACK * len(tensors) + _FREE_MODULES,
        )

    @contextmanager
    def kept(self, file: Path) -> Iterator[None]:
        """Ends a construction in this thread with `WeightsError` as soon as it exceeds the limits."""
        counted = {"tensors": 0, "numbers": 0, "modules": 0}
        thread = threading.get_ident()  # the hooks are those of all threads

        def refuse_above(what: str, number: int) -> None:
            if number > getattr(self, what):
                raise WeightsError(
                    f"{file} asks for a network of more than {getattr(self, what):,} {what}, far more than it holds: "
                    "its config is damaged; copy it again, or train again"
                )

        def count(what: str, number: int) -> None:
            counted[what] += number
            refuse_above(what, counted[what])

        def tensor_hook(module: nn.Module, name: str, value: Tensor | None) -> None:
            if threading.get_ident() == thread and value is not None:
                count("tensors", 1)
                count("numbers", value.numel())

        def module_hook(module: nn.Module, name: str, value: nn.Module | None) -> None:
            if threading.get_ident() == thread:
                count("modules", 1)

        handles = [
            register_module_parameter_registration_hook(tensor_hook),
            register_module_buffer_registration_hook(tensor_hook),
            register_module_module_registration_hook(module_hook),
        ]
        try:
            with _Measured(lambda tensor: refuse_above("numbers", tensor.numel())):
                yield
        finally:
            for handle in handles:
                handle.remove()


class _Measured(TorchFunctionMode):
    """Shows each tensor that this thread creates to a function while it still has no memory."""

    def __init__(self, judge: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._judge = judge

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  whatever the function gives
        kwargs = kwargs or {}
        if func in _FACTORIES:
            on_meta = {key: value for key, value in kwargs.items() if key not in ("generator", "out", "pin_memory")}
            self._judge(func(*args, **{**on_meta, "device": "meta"}))
        return func(*args, **kwargs)
