"""Defines what a network must offer to be evaluated, calibrated, timed and served as an adaptive one.

Every adaptive network is a *decision* that assigns each sample a *route*, an *execution* that computes only what the
route asks for, and a *price* per route. A route may be a number (a resolution, an exit), a keep-vector over blocks or a
list of windows; nothing here looks inside it: routes are taken by sample and handed on.
"""
# N samples, S scores per sample; for routes see `modicum.adaptive.samples`

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from modicum.adaptive.costs import CostTable
from modicum.adaptive.samples import Inputs, Outputs, Routes, count, join, take


class Routed(NamedTuple, Generic[Outputs, Routes]):
    """What a routed run returns, in the order of its input."""

    outputs: Outputs  # of N samples, e.g. logits (N, K)
    routes: Routes  # of N samples, on the CPU
    macs: Tensor  # (N,) float64, on the CPU: multiply-adds executed for each sample, the decision included
    scores: Tensor | None = None  # (N, S), on the CPU: what the decisions saw, NaN for what did not run; if it is noted


class Group(NamedTuple):
    """Holds samples that wait for the same step, of one call or of several."""

    key: Hashable  # of the step: the number of the next one, or what was decided; of equal keys, all can be batched
    rows: Tensor  # (n,) int64, on the CPU: their places in the batch that they were started or joined in
    state: Any  # what the step needs, by sample, nested as `modicum.adaptive.samples` takes it
    is_decided: bool = False  # whether the steps to come depend on no knob

    @classmethod
    def start(cls, inputs: Tensor | list[Any]) -> "Group":
        """Lets N inputs wait for the first step."""
        return cls(0, torch.arange(len(inputs)), inputs)

    @classmethod
    def join(cls, groups: "Sequence[Group]") -> "Group":
        """Lets samples that wait for the same step, at least one, take it together.

        Raises:
            ValueError: If they wait for different ones.
        """
        keys = {(group.key, group.is_decided) for group in groups}
        if len(keys) != 1:
            raise ValueError(f"one step needs samples of one group, got {sorted(str(key) for key, _ in keys)}")
        (key, is_decided), state = keys.pop(), join([group.state for group in groups])
        return cls(key, torch.arange(count(state)), state, is_decided)

    def split(self) -> "list[Group]":
        """Lets each sample wait by itself."""
        alone = [slice(place, place + 1) for place in range(len(self.rows))]
        return [self._replace(rows=self.rows[one], state=take(self.state, one)) for one in alone]


class Stepped(NamedTuple, Generic[Outputs, Routes]):
    """Holds the result of one step with a group."""

    rows: Tensor  # (m,) int64, on the CPU: the places of those that are finished
    finished: Routed[Outputs, Routes] | None  # of these m; None where nobody is
    survivors: list[Group]  # the others, by the step that they wait for now


class Policy(ABC, Generic[Routes]):
    """Turns the scores of samples into routes; one knob makes all of them cheaper or more expensive."""

    @abstractmethod
    def decide(self, scores: Tensor, knob: float) -> Routes:
        """Returns the routes of N samples with ``scores`` (N, S).

        The decision on a sample depends on its own scores alone. As ``knob`` grows, the mean cost of the samples that
        the policy was fitted on does not rise, nor, where nothing was fitted, that of any samples; where a policy deals
        out shares of samples, this holds up to rounding them to whole samples.

        Raises:
            KnobError: If ``knob`` is not a finite number.
        """

    @abstractmethod
    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the knobs of the most expensive routes of these samples (first) and of their cheapest (second)."""


class AdaptiveNetwork(Protocol[Inputs, Routes, Outputs]):
    """A network that decides, for each sample, how much to compute.

    A decision may fall before the run (a resolution, a keep-vector) or during it (an exit): `scores` holds what it
    depends on either way, so that evaluation and calibration need not know which.
    """

    @property
    def policy(self) -> Policy[Routes]:
        """Turns scores into routes."""

    @property
    def costs(self) -> CostTable[Routes]:
        """Prices routes in multiply-adds."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yields the weights, as every `torch.nn.Module` does."""

    def scores(self, inputs: Inputs, /) -> Tensor:
        """Returns everything that decisions on N ``inputs`` can depend on: (N, S).

        Where the decision falls during the run, these are the scores at every point of decision, so getting them costs
        a full run; `predict` stops early.
        """

    def run(self, inputs: Inputs, routes: Routes, /) -> Outputs:
        """Returns the output of each sample on the given route, computing nothing that its route leaves out."""

    def predict(self, inputs: Inputs, knob: float, /) -> Routed[Outputs, Routes]:
        """Decides and executes together; equals ``run(inputs, policy.decide(scores(inputs), knob))``."""

    def advance(self, group: Group, knob: float, /) -> Stepped[Outputs, Routes]:
        """Takes one step with samples that wait for it; begins with ``Group.start(inputs)``.

        Once all are finished, their answers are those of `predict` at this knob, whatever shared their steps.
        """


def device_of(model: AdaptiveNetwork[Any, Any, object]) -> torch.device:
    """Returns the device of the weights of ``model``."""
    return next(model.parameters()).device


def dtype_of(model: AdaptiveNetwork[Any, Any, object]) -> torch.dtype:
    """Returns the precision of the weights of ``model``, in which it takes tensors."""
    return next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
