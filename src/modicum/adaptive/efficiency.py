"""Measures how much of the saving that multiply-adds promise the clock confirms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from modicum.adaptive.contract import AdaptiveNetwork, device_of
from modicum.adaptive.costs import CostTable, require_plain
from modicum.adaptive.samples import Inputs, Routes, take
from modicum.measuring.timing import device_name, time_in_turn


@dataclass(frozen=True)
class Efficiency:
    """One comparison of the routed with the plain network, on the same samples, timed in turn.

    Attributes:
        batch_size: Samples per call.
        threads: Threads that torch used on the CPU.
        device: Where it ran, e.g. ``"cpu"`` or the name of a GPU.
        plain_ms: Median milliseconds per sample of the plain network.
        routed_ms: The same of the routed network, the decision included.
        saved_in_theory: S_theory = 1 - E[cost] / plain cost, in multiply-adds.
        saved_on_clock: S_wall = 1 - routed_ms / plain_ms.
        plain_p99_ms: 99th percentile over samples of the plain network's milliseconds, where samples were timed one by
            one; else None. A sample's time is the median of several readings, so a busy machine hardly shows in it.
        routed_p99_ms: The same of the routed network: a sample on an expensive route may take longer than on the plain
            network, so this may rise while the mean falls.
        num_samples: Number of samples timed one by one; None where none were.
    """

    batch_size: int
    threads: int
    device: str
    plain_ms: float
    routed_ms: float
    saved_in_theory: float
    saved_on_clock: float
    plain_p99_ms: float | None = None
    routed_p99_ms: float | None = None
    num_samples: int | None = None

    @property
    def realised(self) -> float:
        """Returns S_wall / S_theory: the share of the saving that the clock confirms; nan if none was promised."""
        return self.saved_on_clock / self.saved_in_theory if self.saved_in_theory > 0 else float("nan")


@torch.inference_mode()
def measure_efficiency(
    model: AdaptiveNetwork[Inputs, Any, object],
    plain: Callable[[Inputs], object],
    inputs: Inputs,
    batch_sizes: Sequence[int],
    *,
    knob: float,
    rounds: int = 5,
) -> tuple[Efficiency, ...]:
    """Times ``model.predict`` against ``plain`` on the same ``inputs``, once per batch size.

    Both are timed in turn, each over all inputs in batches of the given size; figures are medians of ``rounds``. At
    batch size 1, each sample is timed by itself, which gives percentiles, too.
    """
    report, saved_in_theory = [], 1 - mean_macs(model, inputs, knob) / require_plain(model.costs)
    for batch_size in batch_sizes:
        batches = [take(inputs, slice(at, at + batch_size)) for at in range(0, len(inputs), batch_size)]
        runs = {"plain": plain, "routed": lambda batch: model.predict(batch, knob)}
        timed = _time_each(runs, batches, rounds) if batch_size == 1 else _time_all(runs, batches, rounds)
        per_sample = {name: 1000 * sum(seconds) / len(inputs) for name, seconds in timed.items()}
        report.append(
            Efficiency(
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                device=device_name(device_of(model)),
                plain_ms=per_sample["plain"],
                routed_ms=per_sample["routed"],
                saved_in_theory=saved_in_theory,
                saved_on_clock=1 - per_sample["routed"] / per_sample["plain"],
                plain_p99_ms=_percentile(timed["plain"]) if batch_size == 1 else None,
                routed_p99_ms=_percentile(timed["routed"]) if batch_size == 1 else None,
                num_samples=len(inputs) if batch_size == 1 else None,
            )
        )
    return tuple(report)


def _time_all(
    runs: Mapping[str, Callable[[Inputs], object]], batches: Sequence[Inputs], rounds: int
) -> dict[str, list[float]]:
    """Returns, for each run, the seconds that all batches take together, alone in a list."""

    def over_all(run: Callable[[Inputs], object]) -> None:
        for batch in batches:
            run(batch)

    seconds = time_in_turn({name: partial(over_all, run) for name, run in runs.items()}, rounds=rounds)
    return {name: [seconds[name]] for name in runs}


def _time_each(
    runs: Mapping[str, Callable[[Inputs], object]], batches: Sequence[Inputs], rounds: int
) -> dict[str, list[float]]:
    """Returns, for each run, the seconds of every batch by itself."""
    each = {
        f"{name} {number}": partial(run, batch) for number, batch in enumerate(batches) for name, run in runs.items()
    }
    seconds = time_in_turn(each, rounds=rounds)
    return {name: [seconds[f"{name} {number}"] for number in range(len(batches))] for name in runs}


def _percentile(seconds: Sequence[float]) -> float:
    """Returns the 99th percentile in milliseconds: a time that was measured, of fewer than 100 the longest."""
    return 1000 * float(np.quantile(seconds, 0.99, method="higher"))


@torch.inference_mode()
def measure_network_times(
    networks: Mapping[str, Callable[[Inputs], object]], inputs: Inputs, batch_size: int, *, rounds: int = 5
) -> dict[str, float]:
    """Returns the milliseconds per sample of networks without a decision; arguments as of `measure_route_times`."""
    batch = take(inputs, torch.arange(batch_size) % len(inputs))
    seconds = time_in_turn({name: partial(network, batch) for name, network in networks.items()}, rounds=rounds)
    return {name: 1000 * value / batch_size for name, value in seconds.items()}


def mean_macs(model: AdaptiveNetwork[Inputs, Any, object], inputs: Inputs, knob: float) -> float:
    """Returns the mean multiply-adds per sample at this knob, the decision included."""
    return float(model.costs.of(model.policy.decide(model.scores(inputs), knob)).mean())


@torch.inference_mode()
def measure_route_times(
    model: AdaptiveNetwork[Inputs, Routes, object],
    plain: Callable[[Inputs], object] | None,
    inputs: Inputs,
    batch_size: int,
    *,
    rounds: int = 5,
) -> CostTable[Routes]:
    """Returns the cost table in milliseconds per sample on this device at this batch size.

    Args:
        model: Its decision is timed by itself where it costs anything.
        plain: The network that answers without a decision, if there is one.
        inputs: At least one sample; repeated or cut to ``batch_size``.
        batch_size: Samples per call.
        rounds: Readings per route, of which the median counts.
    """
    batch = take(inputs, torch.arange(batch_size) % len(inputs))

    def milliseconds(run: Callable[[], object]) -> float:
        return 1000 * time_in_turn({"run": run}, rounds=rounds)["run"] / batch_size

    def on_route(route: Routes) -> float:
        routes = take(route, torch.zeros(batch_size, dtype=torch.int64))
        return milliseconds(lambda: model.run(batch, routes))

    decision = milliseconds(lambda: model.scores(batch)) if model.costs.decision else 0.0
    alone = None if plain is None else milliseconds(lambda: plain(batch))
    return model.costs.in_milliseconds(on_route, decision, alone)
