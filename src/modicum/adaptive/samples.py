"""Samples, routes and answers of any kind: a tensor with a row per sample, or a list with an item per sample.

Networks of fixed size take tensors; lists serve pictures of mixed size, texts, and windows of which each sample has its
own number. What samples carry from step to step may nest both in tuples and dicts; None in them stays None.
"""
# N samples, U units (blocks), W windows of one sample

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar as TypeVarWithDefault

Inputs = TypeVarWithDefault("Inputs", bound=Tensor | list[Any], contravariant=True, default=Tensor)
Routes = TypeVarWithDefault("Routes", bound=Tensor | list[Tensor], default=Tensor)  # (N,), (N, U) or N times (W, 4)
Outputs = TypeVarWithDefault("Outputs", covariant=True, default=Tensor)
Targets = TypeVarWithDefault("Targets", default=Tensor)
Nested = TypeVar("Nested")  # a tensor or list, or tuples and dicts of them


def count(samples: object) -> int:
    """Counts samples, nested as they are."""
    while isinstance(samples, tuple | dict):
        samples = next(iter(samples.values() if isinstance(samples, dict) else samples))
    assert isinstance(samples, Tensor | list)
    return len(samples)


def take(samples: Nested, rows: Tensor | slice) -> Nested:
    """Returns the samples at the places ``rows``, in that order, nested as they are."""
    taken: Any = None
    if isinstance(samples, Tensor):
        taken = samples[rows.to(samples.device) if isinstance(rows, Tensor) else rows]
    elif isinstance(samples, list):
        taken = samples[rows] if isinstance(rows, slice) else [samples[row] for row in rows.tolist()]
    elif samples is not None:
        taken = _part_by_part(lambda part: take(part, rows), samples)
    return cast(Nested, taken)


def join(several: Sequence[Nested]) -> Nested:
    """Joins samples, at least one and all nested alike, one after the other."""
    first, joined = several[0], cast(Any, several)
    if isinstance(first, Tensor):
        joined = torch.cat(joined)
    elif isinstance(first, list):
        joined = [sample for samples in joined for sample in samples]
    else:
        joined = None if first is None else _part_by_part(lambda *parts: join(parts), *joined)
    return cast(Nested, joined)


def _part_by_part(function: Callable[..., Any], *nests: Any) -> Any:  # noqa: ANN401  any nesting
    """Applies a function to each part of nests that are alike, and nests the results as the parts were."""
    first = nests[0]
    if isinstance(first, dict):
        return {key: function(*(nest[key] for nest in nests)) for key in first}
    make = getattr(type(first), "_make", type(first))  # a NamedTuple does not take an iterable
    return make(map(function, *nests))
