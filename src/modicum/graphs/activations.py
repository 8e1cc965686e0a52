"""The activations that a neuron of a graph may have, each with its slope, in float64 NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
ActivationName = Literal["tanh", "sin", "silu", "softplus"]


@dataclass(frozen=True)
class Activation:
    """A function of one number and its slope.

    Attributes:
        value: From sums of any shape to values of the same shape.
        slope: The derivative, from the sums and the values that belong to them.
        macs: What one evaluation costs in multiply-adds, by convention: the length of a usual polynomial for it.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    macs: int


def _logistic(sums: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * sums)  # never overflows


def _softplus(sums: Array) -> Array:
    softened: Array = np.logaddexp(0.0, sums)
    return softened


def _silu_slope(sums: Array, values: Array) -> Array:
    gate = _logistic(sums)
    return gate + values * (1.0 - gate)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "tanh": Activation(np.tanh, lambda sums, values: 1.0 - values * values, 8),
        "sin": Activation(np.sin, lambda sums, values: np.cos(sums), 6),
        "silu": Activation(lambda sums: sums * _logistic(sums), _silu_slope, 9),
        "softplus": Activation(_softplus, lambda sums, values: _logistic(sums), 12),
    }
)
