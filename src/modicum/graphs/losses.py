"""The two losses of a fit: squared error for numbers, cross-entropy for classes, each with its Gauss-Newton root."""
# O outputs, N points

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from modicum.graphs.activations import Array


class Loss(ABC):
    """A loss per point; half of it is minimised, and the second derivative of that is a sum of outer products."""

    @abstractmethod
    def total(self, outputs: Array, targets: Array) -> float:
        """Returns the loss, summed over points; both arguments are (O, N)."""

    @abstractmethod
    def slope(self, outputs: Array, targets: Array) -> Array:
        """Returns the slope of half the loss of each point with respect to its outputs, (O, N)."""

    @abstractmethod
    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """Yields vectors (O, N) or (O, 1) whose outer products sum to the second derivative of a point's half loss."""


class SquaredError(Loss):
    """Squared error, averaged over outputs; targets are numbers."""

    def total(self, outputs: Array, targets: Array) -> float:
        """Returns the squared errors, averaged over outputs and summed over points."""
        errors = (outputs - targets).ravel()
        return float(errors @ errors) / len(outputs)

    def slope(self, outputs: Array, targets: Array) -> Array:
        """Returns the errors divided by O."""
        return (outputs - targets) / len(outputs)

    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """Yields the unit vectors divided by the square root of O."""
        for row in np.eye(len(outputs)) / np.sqrt(len(outputs)):
            yield row[:, None]


class CrossEntropy(Loss):
    """Cross-entropy of softmax in nats, one output per class; targets are probabilities, 0 or 1 for known classes."""

    def total(self, outputs: Array, targets: Array) -> float:
        """Returns the cross-entropies, summed over points."""
        normaliser = np.logaddexp.reduce(outputs, axis=0)
        return float((normaliser - (targets * outputs).sum(axis=0)).sum())

    def slope(self, outputs: Array, targets: Array) -> Array:
        """Returns half the difference between predicted and true probabilities."""
        return (softmax(outputs) - targets) / 2

    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """Yields ``sqrt(p_k / 2) (e_k - p)`` for each class k; the sum is exactly half of ``diag(p) - p p^T``."""
        probabilities = softmax(outputs)
        for own, unit in zip(probabilities, np.eye(len(probabilities)), strict=True):
            yield np.sqrt(own / 2) * (unit[:, None] - probabilities)


def softmax(outputs: Array) -> Array:
    """Returns class probabilities (O, N) of outputs (O, N)."""
    powers = np.exp(outputs - outputs.max(axis=0))
    probabilities: Array = powers / powers.sum(axis=0)
    return probabilities
