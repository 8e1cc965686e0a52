"""What a network must offer to be evaluated, calibrated, timed and served as an adaptive classifier.

Every adaptive classifier is a *decision* that assigns each sample a *route*, an *execution* that computes only what the
route asks for, and a *price* per route. A route may be a number (a resolution, an exit) or a keep-vector over blocks;
nothing here looks inside it: routes are indexed by sample along their first dimension and handed on.
"""
# N samples, S scores per sample, K classes; routes are (N,) int64 or (N, units) bool

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from modicum.adaptive.costs import CostTable


class Routed(NamedTuple):
    """What a routed run returns, in the order of its input."""

    logits: Tensor  # (N, K)
    routes: Tensor  # (N,) or (N, units), on the CPU
    macs: Tensor  # (N,) float64, on the CPU: multiply-adds executed for each sample, the decision included


class Policy(ABC):
    """Turns the scores of samples into routes; one knob makes all of them cheaper or dearer."""

    @abstractmethod
    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Routes (N,) or (N, units) of samples with ``scores`` (N, S).

        The decision on a sample depends on its own scores alone. As ``knob`` grows, the mean cost of the samples that
        the policy was fitted on does not rise, nor, where nothing was fitted, that of any samples; where a policy deals
        out shares of samples, this holds up to rounding them to whole samples.

        Raises:
            KnobError: If ``knob`` is not a finite number.
        """

    @abstractmethod
    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Two knobs between which these samples go from their dearest routes (first) to their cheapest (second)."""


class AdaptiveClassifier(Protocol):
    """A classifier that decides, for each sample, how much to compute.

    A decision may fall before the run (a resolution, a keep-vector) or during it (an exit): `scores` holds what it
    depends on either way, so that evaluation and calibration need not know which.
    """

    @property
    def policy(self) -> Policy:
        """How scores become routes."""

    @property
    def costs(self) -> CostTable:
        """Multiply-adds per route."""

    def scores(self, images: Tensor) -> Tensor:
        """Everything that decisions on ``images`` (N, 3, H, W) can depend on: (N, S).

        Where the decision falls during the run, these are the scores at every point of decision, so getting them costs
        a full run; `predict` stops early.
        """

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Logits (N, K) of each sample on the given route, computing nothing that its route leaves out."""

    def predict(self, images: Tensor, knob: float) -> Routed:
        """Decision and execution together; equal to ``run(images, policy.decide(scores(images), knob))``."""

    def plain_network(self) -> nn.Module:
        """The network with everything computed and nothing decided, as a module that shares nothing with this one."""


def device_of(model: AdaptiveClassifier) -> torch.device:
    """Where the weights of ``model`` are."""
    assert isinstance(model, nn.Module)  # every adaptive classifier is one; the protocol cannot say so
    return next(model.parameters()).device


def dtype_of(model: AdaptiveClassifier) -> torch.dtype:
    """The precision of the weights of ``model``, in which it takes images."""
    assert isinstance(model, nn.Module)  # as above
    return next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
