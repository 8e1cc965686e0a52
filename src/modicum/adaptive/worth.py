"""Measures how good answers are: by a worth per sample that is averaged, or on all samples at once.

A hit, a gain, decibels or F1 belong to a sample; average precision belongs to a set of samples. Both know the worth of
all their samples, of any of them and of each alone, and how far chance moves it.
"""
# N samples

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RESAMPLES = 1000  # enough for a 95 % interval whose ends vary by about a tenth of its width

Answer = TypeVar("Answer")


class Worth(ABC):
    """Tells how good the answers to some samples are; higher is better."""

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of samples."""

    @abstractmethod
    def total(self) -> float:
        """Returns the worth of all samples together; NaN if there are none."""

    @abstractmethod
    def each(self) -> Tensor:
        """Returns the worth of each sample alone, (N,) float64 on the CPU."""

    @abstractmethod
    def take(self, rows: Tensor) -> Self:
        """Returns the worth of the samples at the places ``rows``, some of them perhaps several times."""

    @abstractmethod
    def join(self, others: Sequence[Self]) -> Self:
        """Returns the worth of these samples, followed by those of ``others``."""

    @abstractmethod
    def resample(self, times: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Returns the totals of as many sets of N samples, drawn from these with replacement; N is at least 1."""


@dataclass(frozen=True)
class MeanWorth(Worth):
    """A worth per sample, averaged over samples.

    Attributes:
        values: Shape (N,), bool or any number; on the CPU.
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def total(self) -> float:
        """Returns the mean."""
        return float(self.values.double().mean())

    def each(self) -> Tensor:
        """Returns the values."""
        return self.values.double()

    def take(self, rows: Tensor) -> Self:
        """Selects values."""
        return type(self)(self.values[rows])

    def join(self, others: Sequence[Self]) -> Self:
        """Concatenates values."""
        return type(self)(torch.cat([self.values, *(other.values for other in others)]))

    def resample(self, times: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draws means; that of zeros and ones is a binomial draw, so that no set is ever built."""
        values = self.each().numpy()
        if np.isin(values, (0, 1)).all():
            return generator.binomial(len(values), values.mean(), size=times) / len(values)
        return np.array([values[generator.integers(len(values), size=len(values))].mean() for _ in range(times)])


@dataclass(frozen=True)
class SetWorth(Worth, Generic[Answer]):
    """A measure of a set of samples, such as average precision.

    Attributes:
        answers: What is kept of each sample, e.g. its detections and what should have been found.
        measure: From the answers to any samples, at least one, to their worth; finite, also for a single sample.
    """

    answers: Sequence[Answer]
    measure: Callable[[Sequence[Answer]], float]

    def __len__(self) -> int:
        return len(self.answers)

    def total(self) -> float:
        """Measures all samples."""
        return self.measure(self.answers) if self.answers else float("nan")

    def each(self) -> Tensor:
        """Measures one sample at a time."""
        return torch.tensor([self.measure([answer]) for answer in self.answers], dtype=torch.float64)

    def take(self, rows: Tensor) -> Self:
        """Selects answers."""
        return type(self)([self.answers[row] for row in rows.tolist()], self.measure)

    def join(self, others: Sequence[Self]) -> Self:
        """Concatenates answers."""
        return type(self)([answer for part in (self, *others) for answer in part.answers], self.measure)

    def resample(self, times: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Measures sets that are drawn one after another."""
        draws = (torch.from_numpy(generator.integers(len(self), size=len(self))) for _ in range(times))
        return np.array([self.take(rows).total() for rows in draws])


def bootstrap_interval(worth: Worth, seed: int = 0) -> tuple[float, float]:
    """Returns the bootstrap 95 % interval of the total, found by resampling samples; NaN if there are none."""
    if not len(worth):
        return float("nan"), float("nan")
    draws = worth.resample(RESAMPLES, np.random.default_rng(seed))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
