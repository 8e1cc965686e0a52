"""Counts what a network executes, by kind of operation, in one pass; knows the cost of torch's operators and of ours.

An operator that torch does not bring has its cost registered beside it, under its name::

    @register_cost("modicum::adder2d")
    def _cost(features: Tensor, filters: Tensor, *, out: Tensor) -> dict[Kind, int]:
        return {"addition": 2 * out.numel() * filters[0].numel()}
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode  # the documented way to see operators; has no other home
from torch.utils.flop_counter import FlopCounterMode

from modicum.storage.errors import ModicumError

Kind = Literal["multiply-add", "addition"]
Formula = Callable[..., Mapping[Kind, int]]

_TORCH = {"aten", "prim", "prims", "profiler"}  # namespaces whose operators are free unless torch's counter knows them
_NOT_FREE = ("aten::_cdist_forward", "aten::_fft_", "aten::_cudnn_rnn", "aten::linalg_", "aten::miopen_rnn")
_formulas: dict[str, Formula] = {}


class UnknownCostError(ModicumError, NotImplementedError):
    """An operator was executed whose cost is not registered."""


def register_cost(operator: str) -> Callable[[Formula], Formula]:
    """Registers the decorated formula as the cost of an operator.

    Args:
        operator: Its qualified name, e.g. ``"modicum::adder2d"``; all its overloads share the formula.

    Returns:
        A decorator. The formula gets the arguments of the operator and what it returned as ``out``, and tells how many
        operations of each kind that took; an empty mapping means none that count.

    Raises:
        ValueError: If the operator has a formula already.
    """
    if operator in _formulas:
        raise ValueError(f"operator {operator} has a registered cost already")

    def register(formula: Formula) -> Formula:
        _formulas[operator] = formula
        return formula

    return register


def count_operations(run: Callable[..., object], *inputs: object) -> Counter[Kind]:
    """Counts the operations that ``run(*inputs)`` executes, by kind, forward only.

    Convolutions, matrix products, attention and LSTMs are multiply-adds; operators from elsewhere are what their
    formulas say. Normalisation, pooling, resizing and element-wise work count as nothing, as in the published tables.
    Inputs on the ``meta`` device make counting free where ``run`` allows it; see `count_network_macs`.

    Raises:
        UnknownCostError: If an operator is executed whose cost is not known.
    """
    tally = _Tally()
    fused: Any = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    flops = FlopCounterMode(display=False, custom_mapping=fused)  # innermost, as it takes composite operators apart
    with torch.no_grad(), _unfused_attention(), tally, flops:
        run(*inputs)
    tally.counts["multiply-add"] += int(flops.get_total_flops()) // 2  # the counter counts a multiply-add as two
    return tally.counts


def count_macs(run: Callable[..., object], *inputs: object) -> int:
    """Counts the multiply-adds that ``run(*inputs)`` executes; see `count_operations`."""
    return count_operations(run, *inputs)["multiply-add"]


def count_network_macs(network: nn.Module, shape: Sequence[int]) -> int:
    """Counts the multiply-adds of one evaluation pass of ``network`` on an input of ``shape``, without computing it.

    Example:
        >>> count_network_macs(nn.Conv2d(3, 8, kernel_size=3, padding=1), (1, 3, 32, 32))  # 3 * 8 * 9 * 32 * 32
        221184
    """
    on_meta = copy.deepcopy(network).to("meta").float().eval()
    return count_macs(on_meta, torch.empty(tuple(shape), device="meta"))


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Adds up what formulas say of the operators that are executed, and refuses those without one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.counts: Counter[Kind] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  torch's operators have no public type
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        name, kwargs = func.name().split(".")[0], kwargs or {}
        formula = _formulas.get(name)
        if formula is None and (name.split("::")[0] not in _TORCH or name.startswith(_NOT_FREE)):
            raise UnknownCostError(
                f"cannot count the cost of operator {name}: register a formula with "
                f'modicum.measuring.counting.register_cost("{name}")'
            )
        out = func(*args, **kwargs)
        if formula is not None:
            self.counts.update(formula(*args, **kwargs, out=out))
        return out


@register_cost("aten::mkldnn_rnn_layer")
def _recurrent_cost(steps: Tensor, from_input: Tensor, from_state: Tensor, *_: object, **__: object) -> dict[Kind, int]:
    """Counts one layer of an LSTM on a CPU, in one direction; ``steps`` is (T, B, width) of padded sequences."""
    return {"multiply-add": steps.shape[0] * steps.shape[1] * (from_input.numel() + from_state.numel())}


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    """Counts fused attention on a CPU, which torch's counter takes for free before version 2.15."""
    batch, heads, outputs, width = query
    return 2 * batch * heads * outputs * key[-2] * (width + value[-1])


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Keeps torch's attention layers off the fused kernels of evaluation, which the counter takes for free."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
