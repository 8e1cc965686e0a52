"""Measures how much of the saving that multiply-adds promise the clock confirms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
    """

    batch_size: int
    threads: int
    device: str
    plain_ms: float
    routed_ms: float
    saved_in_theory: float
    saved_on_clock: float

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

    Both are timed in turn, each over all inputs in batches of the given size; figures are medians of ``rounds``.
    """
    report, saved_in_theory = [], 1 - mean_macs(model, inputs, knob) / require_plain(model.costs)
    for batch_size in batch_sizes:
        batches = [take(inputs, slice(at, at + batch_size)) for at in range(0, len(inputs), batch_size)]

        def run_plain(batches: Sequence[Inputs] = batches) -> None:
            for batch in batches:
                plain(batch)

        def run_routed(batches: Sequence[Inputs] = batches) -> None:
            for batch in batches:
                model.predict(batch, knob)

        seconds = time_in_turn({"plain": run_plain, "routed": run_routed}, rounds=rounds)
        per_sample = {name: 1000 * value / len(inputs) for name, value in seconds.items()}
        report.append(
            Efficiency(
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                device=device_name(device_of(model)),
                plain_ms=per_sample["plain"],
                routed_ms=per_sample["routed"],
                saved_in_theory=saved_in_theory,
                saved_on_clock=1 - per_sample["routed"] / per_sample["plain"],
            )
        )
    return tuple(report)


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
