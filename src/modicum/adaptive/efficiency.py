"""How much of the saving that multiply-adds promise the clock confirms."""
# N samples

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modicum.adaptive.contract import AdaptiveClassifier
from modicum.adaptive.costs import CostTable
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
        """S_wall / S_theory: the share of the theoretical saving that the clock confirms; nan if none was promised."""
        return self.saved_on_clock / self.saved_in_theory if self.saved_in_theory > 0 else float("nan")


@torch.inference_mode()
def measure_efficiency(
    model: AdaptiveClassifier,
    plain: Callable[[Tensor], Tensor],
    images: Tensor,
    batch_sizes: Sequence[int],
    *,
    knob: float,
    rounds: int = 5,
) -> tuple[Efficiency, ...]:
    """Times ``model.predict`` against ``plain`` on the same ``images`` (N, 3, H, W), once per batch size.

    Both are timed in turn, each over all images in batches of the given size; figures are medians of ``rounds``.
    """
    report, saved_in_theory = [], 1 - mean_macs(model, images, knob) / model.costs.plain
    for batch_size in batch_sizes:
        batches = torch.split(images, batch_size)

        def run_plain(batches: Sequence[Tensor] = batches) -> None:
            for batch in batches:
                plain(batch)

        def run_routed(batches: Sequence[Tensor] = batches) -> None:
            for batch in batches:
                model.predict(batch, knob)

        seconds = time_in_turn({"plain": run_plain, "routed": run_routed}, rounds=rounds)
        per_image = {name: 1000 * value / len(images) for name, value in seconds.items()}
        report.append(
            Efficiency(
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                device=device_name(images.device),
                plain_ms=per_image["plain"],
                routed_ms=per_image["routed"],
                saved_in_theory=saved_in_theory,
                saved_on_clock=1 - per_image["routed"] / per_image["plain"],
            )
        )
    return tuple(report)


def mean_macs(model: AdaptiveClassifier, images: Tensor, knob: float) -> float:
    """Mean multiply-adds per image at this knob, the decision included."""
    return float(model.costs.of(model.policy.decide(model.scores(images), knob)).mean())


@torch.inference_mode()
def measure_route_times(model: AdaptiveClassifier, images: Tensor, batch_size: int, *, rounds: int = 5) -> CostTable:
    """The cost table in milliseconds per sample on this device at this batch size, measured on copies of ``images``.

    Args:
        model: Its decision is timed by itself where it costs anything.
        images: Shape (N, 3, H, W), N at least 1; repeated or cut to ``batch_size``.
        batch_size: Samples per call.
        rounds: Readings per route, of which the median counts.
    """
    batch, plain = images[torch.arange(batch_size) % len(images)], model.plain_network().eval()

    def milliseconds(run: Callable[[], object]) -> float:
        return 1000 * time_in_turn({"run": run}, rounds=rounds)["run"] / batch_size

    def on_route(route: Tensor) -> float:
        routes = route.expand(batch_size, *route.shape[1:])
        return milliseconds(lambda: model.run(batch, routes))

    decision = milliseconds(lambda: model.scores(batch)) if model.costs.decision else 0.0
    return model.costs.in_milliseconds(on_route, decision, milliseconds(lambda: plain(batch)))
