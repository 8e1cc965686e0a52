"""Times what a cascade saves: EfficientNet-Lite0 at 64 px to stage 5, 128 and 192 px, with a fixed mix of steps.

Everything is compared with the whole trunk at 192 px under the same settings, timed in turn in one run. Three forms are
timed on the CPU: *eager* is PyTorch with the network as timm builds it; *folded* is what `predict` runs, normalisation
folded into convolutions, channels-last; *deployed* is what `modicum export` writes, on ONNX Runtime, against the whole
trunk exported alike. On a GPU: folded, with bfloat16 autocast.
"""
# B batch, M steps, S side of the images in pixels

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.adaptive.contract import device_of
from modicum.adaptive.planned import PlannedExits, PlannedNumpyExits, shuffled_routes
from modicum.classify.cascade.export import export_cascade
from modicum.classify.cascade.folding import fold_trunk
from modicum.classify.cascade.network import TrunkCascade
from modicum.classify.cascade.runner import OnnxCascade
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.sessions import GraphRunner
from modicum.exporting.writing import export_to_time
from modicum.measuring.rows import Row, saving_rows
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.training.devices import inference_device

MIX = (0.62, 0.29, 0.09)  # share of the images that leave at each step
NUM_CLASSES = 40
IMAGES = 64  # timed per reading
SINGLES = 8  # of them, at batch 1, timed through all steps
BATCHES = (1, 32)
TARGETS = {("deployed", 1): 0.50, ("eager", 32): 0.28}  # of the share of the full network's time, on the CPU
GPU_BATCHES = (1, 32, 256)


class Extent(NamedTuple):
    """A network to be timed, and the number of rounds."""

    backbone: str
    steps: tuple[tuple[int, int], ...]
    image_px: int
    num_exits: int
    rounds: int


FULL = Extent("tf_efficientnet_lite0", ((64, 0), (128, 2), (192, 2)), 192, 3, 5)
QUICK = Extent("test_efficientnet", ((32, 0), (48, 1), (64, 1)), 64, 2, 1)

B = TypeVar("B", Tensor, NDArray[np.float32])
_Run: TypeAlias = Callable[[B, Tensor], object]  # of images (B, 3, S, S) and their steps (B,)


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures the share of the full network's time that a cascade takes, and S_wall / S_theory.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Time a small network in seconds, to check that the benchmark runs; its figures are not meaningful.
    """
    extent, device = QUICK if quick else FULL, inference_device("auto")
    network = fixed_network(extent)
    folded = fold_trunk(network)
    numbers = (1, 2) if threads is None else (threads,)
    rows: list[Row] = []
    for number in numbers:
        with limited_threads(number):
            for batch_size in BATCHES:
                rows += clock_rows(network, "eager", batch_size, extent.rounds)
                rows += clock_rows(folded, "folded", batch_size, extent.rounds)
    rows += deployed_rows(network, numbers, extent.rounds)
    if device.type != "cpu":
        for batch_size in GPU_BATCHES:
            rows += clock_rows(folded.to(device), "folded", batch_size, extent.rounds)
    return rows


@torch.inference_mode()
def fixed_network(extent: Extent) -> TrunkCascade:
    """Builds a cascade with random weights and the running statistics of noise, ready to be timed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = TrunkCascade(
            extent.backbone,
            extent.steps,
            num_classes=NUM_CLASSES,
            image_px=extent.image_px,
            num_exits=extent.num_exits,
            average=True,
        ).train()
        for _ in range(5):  # without them, maps fade to numbers so small that processors are slow with them
            network.trunk(torch.randn(16, 3, extent.steps[0][0], extent.steps[0][0]), 0, extent.num_exits)
    return network.eval()


def leaving_as_planned(network: TrunkCascade) -> TrunkCascade:
    """Returns a copy that makes every decision, and lets images leave where `run_planned` says."""
    planned = copy.deepcopy(network)
    planned.policy = PlannedExits(planned.policy, planned.num_steps)
    return planned


def planned_routes(num_steps: int, count: int) -> Tensor:
    """Returns shuffled routes (count,) with the shares of `MIX`."""
    shares = torch.tensor(MIX[:num_steps], dtype=torch.float64)
    return shuffled_routes(shares / shares.sum(), count)


def run_planned(network: TrunkCascade, images: Tensor, routes: Tensor) -> Tensor:
    """Makes every decision, so that its cost counts, but takes the given routes, so that the mix is fixed.

    The network is one of `leaving_as_planned`.
    """
    assert isinstance(network.policy, PlannedExits)
    network.policy.plan(routes)
    return network.predict(images).outputs


@torch.inference_mode()
def clock_rows(network: TrunkCascade, form: str, batch_size: int, rounds: int) -> list[Row]:
    """Times the full network, the cascade, and images that go through all steps, in turn, at one batch size."""
    device, plain, planned = device_of(network), network.plain_network().eval(), leaving_as_planned(network)
    images = random_images(IMAGES, network.image_px).to(device)

    def on_device(run: _Run[Tensor]) -> _Run[Tensor]:
        def cast(part: Tensor, routes: Tensor) -> object:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
                return run(part, routes)

        return cast

    is_cpu = device.type == "cpu"
    where = threads_text(torch.get_num_threads()) if is_cpu else device_name(device)
    setting = f"{form}, batch {batch_size}, {where}"
    runs = on_device(lambda part, _: plain(part)), on_device(partial(run_planned, planned))
    seconds = _time(*runs, torch.split(images, batch_size), network.num_steps, rounds)
    return _rows(network, setting, seconds, TARGETS.get((form, batch_size)) if is_cpu else None)


def deployed_rows(network: TrunkCascade, threads: Sequence[int], rounds: int) -> list[Row]:
    """Times the exported cascade in the same ways; no rows where the export extra is not installed."""
    rows: list[Row] = []
    export = partial(export_cascade, network)
    with export_to_time(export, image_px=network.image_px, num_classes=NUM_CLASSES) as folder:
        if folder is None:
            return rows
        full = export_full(network, folder.parent / "full.onnx")
        for number in threads:
            runner = OnnxCascade(folder, threads=number)
            plain = GraphRunner(folder.parent, full, threads=number)
            for batch_size in BATCHES:
                setting = f"deployed, batch {batch_size}, {threads_text(number)}"
                rows += runner_rows(network, runner, plain, batch_size, rounds, setting)
    return rows


def export_full(network: TrunkCascade, path: Path) -> Graph:
    """Writes the full network alone as a cascade's graphs are written; returns its entry for a manifest."""
    plain, example = fold_batch_norms(network.plain_network()), (random_images(2, network.image_px),)
    return export_graph(plain, example, path, input_names=["images"], output_names=["logits"])


def runner_rows(
    network: TrunkCascade, runner: OnnxCascade, plain: GraphRunner, batch_size: int, rounds: int, setting: str
) -> list[Row]:
    """Times an exported cascade against its full network, in turn, at one batch size."""
    images = random_images(IMAGES, network.image_px).numpy()
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]

    def routed(part: NDArray[np.float32], routes: Tensor) -> object:
        runner.decision.rule = PlannedNumpyExits(routes.numpy(), network.num_steps)
        return runner.predict(part)

    seconds = _time(lambda part, _: plain(part), routed, batches, network.num_steps, rounds)
    return _rows(network, setting, seconds, TARGETS.get(("deployed", batch_size)))


def random_images(count: int, side: int) -> Tensor:
    """Returns noise (count, 3, side, side)."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def _time(full: _Run[B], routed: _Run[B], batches: Sequence[B], num_steps: int, rounds: int) -> dict[str, float]:
    """Returns seconds per image of the full network, of the mix, and of images that go through all steps."""
    size = len(batches[0])
    mix = torch.split(planned_routes(num_steps, IMAGES), size)
    last = [torch.full_like(routes, num_steps - 1) for routes in mix]
    some = max(1, SINGLES // size)  # what goes through all steps is slow, and needs no mix

    def over(run: _Run[B], planned: Sequence[Tensor], count: int) -> Callable[[], None]:
        def all_batches() -> None:
            for part, routes in zip(batches[:count], planned[:count], strict=True):
                run(part, routes)

        return all_batches

    whole = len(batches)
    runs = {"full": over(full, mix, whole), "routed": over(routed, mix, whole), "last": over(routed, last, some)}
    seconds = time_in_turn(runs, rounds=rounds)
    counts = {"full": IMAGES, "routed": IMAGES, "last": some * size}
    return {name: seconds[name] / count for name, count in counts.items()}


def _rows(network: TrunkCascade, setting: str, seconds: Mapping[str, float], target: float | None) -> list[Row]:
    full, routed, last = (seconds[name] for name in ("full", "routed", "last"))
    share = float(network.costs.of(planned_routes(network.num_steps, IMAGES)).mean()) / network.costs.plain
    return [
        *saving_rows(setting, full, routed, 1 - share, None),
        Row(f"time, cascade / full network, {setting}", routed / full, "ratio", target, "at most"),
        Row(f"multiply-adds, cascade / full network, {setting}", share, "ratio"),
        Row(f"time through all steps / full network, {setting}", last / full, "ratio"),
    ]
