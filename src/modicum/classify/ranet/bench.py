"""What RANet's early exits save on the clock: the published network of 8 exits for CIFAR, with planned mixes of exits.

Savings, S_theory and S_wall, are against the last exit alone: the same network without a decision, no other exit
computed. The published way, all exits computed and early exit simulated afterwards, is timed beside them and stands as
a ratio of its own, for an exported network as all exits computed. All are timed in turn in one run. Two forms are timed
on the CPU: *eager* is PyTorch in inference mode, not compiled; *deployed* is what `modicum export` writes, with
normalisation folded, on ONNX Runtime. On a GPU: eager with bfloat16 autocast.
"""
# B batch, n images still running, E exits

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.adaptive.contract import device_of
from modicum.adaptive.exits import CommonThreshold, geometric_shares
from modicum.adaptive.planned import PlannedExits, PlannedNumpyExits, shuffled_routes
from modicum.classify.confidence import confidence_of
from modicum.classify.ranet.export import export_ranet
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.runner import OnnxRANet
from modicum.classify.ranet.structure import CIFAR_8_EXITS, Structure
from modicum.exporting.writing import export_to_time
from modicum.measuring.rows import Row
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.training.devices import inference_device

MIX = (0.45, 0.20, 0.10, 0.08, 0.06, 0.04, 0.04, 0.03)  # share of the images per exit
BUDGETS = (0.25, 0.60)  # two more mixes, geometric, by their mean cost as a share of the last exit's alone
BATCHES = (1, 64)
GPU_BATCHES = (1, 64, 256)
IMAGES = 64  # timed per reading, at least
TARGET = 0.90  # of S_wall / S_theory on a CPU; on a GPU small segments wait for their launch
NUM_CLASSES = 10
FULL = CIFAR_8_EXITS, 5
QUICK = (
    Structure(scales=(1, 2), growth_factors=(2, 1), bottleneck_factors=(2, 1), first_blocks=1, block_step=1, layers=2),
    1,
)

_Run = Callable[[Tensor, Tensor], object]


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures S_theory, S_wall and their ratio for each mix of exits, and the published way of evaluation.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Time a small network in seconds, to check that the benchmark runs; its figures are not meaningful.
    """
    structure, rounds = QUICK if quick else FULL
    network, device = fixed_network(structure), inference_device("auto")
    numbers = (1, 2) if threads is None else (threads,)
    rows: list[Row] = []
    for number in numbers:
        with limited_threads(number):
            for batch_size in BATCHES:
                rows += clock_rows(network, batch_size, rounds)
    rows += deployed_rows(network, numbers, rounds)
    if device.type != "cpu":
        for batch_size in GPU_BATCHES:
            rows += clock_rows(network.to(device), batch_size, rounds)
    return rows


@torch.inference_mode()
def fixed_network(structure: Structure) -> RANet:
    """Builds a RANet with random weights and the running statistics of noise, without which features grow to 1e6."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = RANet(structure, num_classes=NUM_CLASSES).train()
        for _ in range(10):
            network.every_exit(torch.randn(16, 3, network.image_px, network.image_px))
    return network.eval()


def planned_mixes(network: RANet, count: int) -> dict[str, Tensor]:
    """Returns shuffled routes (count,) by the name of the mix: `MIX`, then one per entry of `BUDGETS`."""
    mix = torch.tensor(MIX[: network.structure.num_exits], dtype=torch.float64)
    mixes = {"mix": mix / mix.sum()}
    for budget in BUDGETS:
        mixes[f"geometric mix at {budget:.0%}"] = shares_at(network, budget)
    return {name: shuffled_routes(shares, count) for name, shares in mixes.items()}


def shares_at(network: RANet, budget: float) -> Tensor:
    """Returns the geometric shares (E,) with the mean cost nearest to ``budget``, a share of the last exit's alone."""
    costs = torch.tensor(network.costs.per_route, dtype=torch.float64) / network.costs.plain
    dear, cheap = -10.0, 10.0  # knobs
    for _ in range(50):
        middle = (dear + cheap) / 2
        too_dear = geometric_shares(middle, len(costs)) @ costs > budget
        dear, cheap = (middle, cheap) if too_dear else (dear, middle)
    return geometric_shares(cheap, len(costs))


def run_planned(network: RANet, images: Tensor, routes: Tensor) -> Tensor:
    """Makes every exit decision, so that its cost counts, but takes the given routes, so that the mix is fixed.

    The policy of ``network`` must be a `PlannedExits`.
    """
    assert isinstance(network.policy, PlannedExits)
    network.policy.plan(routes)
    return network.predict(images, 0.5).outputs


def run_simulated(network: RANet, images: Tensor, routes: Tensor) -> Tensor:
    """Runs every exit on every image, then checks which would have sufficed, as the published evaluation code does."""
    logits = network.every_exit(images)
    network.policy.decide(confidence_of(logits, network.temperatures.values()), 0.5)
    return logits[torch.arange(len(images)), routes]


@torch.inference_mode()
def clock_rows(network: RANet, batch_size: int, rounds: int) -> list[Row]:
    """Times the last exit alone, all exits, early exit at each mix, and the published way, in turn."""
    count, device = max(batch_size, IMAGES), device_of(network)
    images = random_images(count, network.image_px).to(device)
    mixes, last = planned_mixes(network, count), network.plain_network().eval()
    num_exits = network.structure.num_exits
    network.policy = PlannedExits(CommonThreshold(num_exits), num_exits)

    def over_batches(run: _Run, routes: Tensor) -> Callable[[], None]:
        batches = list(zip(torch.split(images, batch_size), torch.split(routes, batch_size), strict=True))

        def all_batches() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
                for part, part_routes in batches:
                    run(part, part_routes)

        return all_batches

    seconds = time_in_turn(
        {
            "last": over_batches(lambda part, _: last(part), mixes["mix"]),
            "all": over_batches(lambda part, _: network.every_exit(part), mixes["mix"]),
            "published": over_batches(partial(run_simulated, network), mixes["mix"]),
            **{name: over_batches(partial(run_planned, network), routes) for name, routes in mixes.items()},
        },
        rounds=rounds,
    )
    threads = torch.get_num_threads()
    where, target = (threads_text(threads), TARGET) if device.type == "cpu" else (device_name(device), None)
    return _rows(network, f"eager, batch {batch_size}, {where}", seconds, mixes, count, target)


def deployed_rows(network: RANet, threads: Sequence[int], rounds: int) -> list[Row]:
    """Times the exported network in the same ways; no rows where the export extra is not installed."""
    rows: list[Row] = []
    export = partial(export_ranet, fixed_network(network.structure))
    with export_to_time(export, image_px=network.image_px, num_classes=NUM_CLASSES, knob=0.5) as folder:
        if folder is None:
            return rows
        for number in threads:
            runner = OnnxRANet(folder, threads=number)
            for batch_size in BATCHES:
                setting = f"deployed, batch {batch_size}, {threads_text(number)}"
                rows += runner_rows(network, runner, batch_size, rounds, setting)
    return rows


def runner_rows(network: RANet, runner: OnnxRANet, batch_size: int, rounds: int, setting: str) -> list[Row]:
    """Times an exported network: with all exits, with the last only, and with early exit at each mix, in turn."""
    count, num_exits = max(batch_size, IMAGES), network.structure.num_exits
    images, mixes = random_images(count, network.image_px).numpy(), planned_mixes(network, count)

    def over_batches(
        run: Callable[[NDArray[np.float32], NDArray[np.int64]], object], routes: Tensor
    ) -> Callable[[], None]:
        starts, exits = range(0, count, batch_size), routes.numpy()

        def all_batches() -> None:
            for start in starts:
                run(images[start : start + batch_size], exits[start : start + batch_size])

        return all_batches

    def planned(part: NDArray[np.float32], routes: NDArray[np.int64]) -> None:
        runner.rule = PlannedNumpyExits(routes, num_exits)
        runner.predict(part)

    seconds = time_in_turn(
        {
            "last": over_batches(runner.run, torch.full((count,), num_exits - 1)),
            "all": over_batches(lambda part, _: runner.every_exit(part), mixes["mix"]),
            **{name: over_batches(planned, routes) for name, routes in mixes.items()},
        },
        rounds=rounds,
    )
    return _rows(network, setting, seconds, mixes, count, TARGET)


def _rows(
    network: RANet,
    setting: str,
    seconds: Mapping[str, float],
    mixes: Mapping[str, Tensor],
    count: int,
    target: float | None,
) -> list[Row]:
    names = {"last": "full network, last exit only", "all": "full network, all exits"}
    if "published" in seconds:
        names["published"] = "published way (all exits, then the decision)"
    names |= {name: f"early exit, {name}" for name in mixes}
    rows = [Row(f"{what}, {setting}", 1000 * seconds[key] / count, "ms/image") for key, what in names.items()]
    for name, routes in mixes.items():
        theory = 1 - float(network.costs.of(routes).mean()) / network.costs.plain
        wall = 1 - seconds[name] / seconds["last"]
        rows += [
            Row(f"S_theory, {name}, {setting}", theory, "ratio"),
            Row(f"S_wall, {name}, {setting}", wall, "ratio"),
            Row(f"S_wall / S_theory, {name}, {setting}", wall / theory, "ratio", target),
        ]
        against = {"published": "published way", "all": "all exits"}
        rows += [
            Row(f"{what} / early exit, {name}, {setting}", seconds[key] / seconds[name], "ratio")
            for key, what in against.items()
            if key in seconds
        ]
    return rows


def random_images(count: int, side: int) -> Tensor:
    """Returns noise (count, 3, side, side)."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
