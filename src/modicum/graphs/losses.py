"""The two losses of a fit: squared error for numbers, cross-entropy for classes, each with its Gauss-Newton root."""
# O outputs, N points

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from modicum.graphs.activations import Array


class Loss(ABC):
    """A loss per point whose second derivative by the outputs is a sum of outer products."""

    @abstractmethod
    def total(self, outputs: Array, targets: Array) -> float:
        """Twice the loss, summed over points; both arguments are (O, N)."""

    @abstractmethod
    def slope(self, outputs: Array, targets: Array) -> Array:
        """Slope of the loss of each point by its outputs, (O, N)."""

    @abstractmethod
    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """Vectors per point, (O, N) or (O, 1), whose outer products add up to the second derivative of its loss."""


class SquaredError(Loss):
    """Half the squared error, averaged over outputs; twice its mean is the MSE."""

    def total(self, outputs: Array, targets: Array) -> float:
        """Squared errors, averaged over outputs and summed over points."""
        errors = (outputs - targets).ravel()
        return float(errors @ errors) / len(outputs)

    def slope(self, outputs: Array, targets: Array) -> Array:
        """The error, over O."""
        return (outputs - targets) / len(outputs)

    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """The unit vectors, over the root of O."""
        for row in np.eye(len(outputs)) / np.sqrt(len(outputs)):
            yield row[:, None]


class CrossEntropy(Loss):
    """Half the cross-entropy of softmax in nats; targets are class probabilities, one output per class.

    Half of it, so that `total` is the cross-entropy itself, as it is the squared error with `SquaredError`.
    """

    def total(self, outputs: Array, targets: Array) -> float:
        """Cross-entropies, summed over points."""
        shifted = outputs - outputs.max(axis=0)
        return float((np.log(np.exp(shifted).sum(axis=0)) - (targets * shifted).sum(axis=0)).sum())

    def slope(self, outputs: Array, targets: Array) -> Array:
        """Half of predicted less true probabilities."""
        return (softmax(outputs) - targets) / 2

    def curvature_roots(self, outputs: Array) -> Iterator[Array]:
        """For class k ``sqrt(p_k / 2) (e_k - p)``: these add up to half of ``diag(p) - p p^T``, which is exact."""
        probabilities = softmax(outputs)
        for index, unit in enumerate(np.eye(len(outputs))):
            yield np.sqrt(probabilities[index] / 2) * (unit[:, None] - probabilities)


def softmax(outputs: Array) -> Array:
    """Class probabilities (O, N) of outputs (O, N)."""
    powers = np.exp(outputs - outputs.max(axis=0))
    probabilities: Array = powers / powers.sum(axis=0)
    return probabilities
