"""Samples, routes and answers of any kind: a tensor with a row per sample, or a list with an item per sample.

Networks of fixed size take tensors; lists serve pictures of mixed size, texts, and windows of which each sample has its
own number.
"""
# N samples, U units (blocks), W windows of one sample

from typing import Any, TypeVar, cast

from torch import Tensor
from typing_extensions import TypeVar as TypeVarWithDefault

Samples = TypeVar("Samples", bound=Tensor | list[Any])
Inputs = TypeVarWithDefault("Inputs", bound=Tensor | list[Any], contravariant=True, default=Tensor)
Routes = TypeVarWithDefault("Routes", bound=Tensor | list[Tensor], default=Tensor)  # (N,), (N, U) or N times (W, 4)
Outputs = TypeVarWithDefault("Outputs", covariant=True, default=Tensor)
Targets = TypeVarWithDefault("Targets", default=Tensor)


def take(samples: Samples, rows: Tensor | slice) -> Samples:
    """Returns the samples at the places ``rows``, in that order, as a tensor or list like ``samples``."""
    if isinstance(samples, list) and isinstance(rows, Tensor):
        return cast(Samples, [samples[row] for row in rows.tolist()])
    return cast(Samples, samples[rows])
