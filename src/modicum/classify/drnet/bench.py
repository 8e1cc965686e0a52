"""What DRNet saves on the clock and in memory: ResNet-50 at 224, 168 and 112 px with a fixed mix of routes.

Everything is compared with the same static network at full size under the same settings, timed in turn in one run. Two
forms are timed on the CPU: *eager* is PyTorch in inference mode, channels-last, not compiled; *deployed* is what
`modicum export` writes, with normalisation folded, one graph per resolution, on ONNX Runtime. On a GPU: eager with
bfloat16 autocast.
"""
# B batch

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from modicum.adaptive.contract import device_of
from modicum.classify.drnet.export import export_drnet
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.predictors import PredictorName
from modicum.classify.drnet.runner import OnnxDRNet
from modicum.exporting.writing import export_to_time
from modicum.measuring.memory import peak_memory
from modicum.measuring.rows import Row, saving_rows
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.training.devices import inference_device

MIX = (0.25, 0.35, 0.40)  # share of the images at 224, 168 and 112 px
BATCH = 32
NUM_CLASSES = 1000
SINGLES = 20  # images at batch size 1: the fewest that hold the mix exactly
TARGETS = {BATCH: 0.90, 1: 0.70}  # of S_wall / S_theory, by batch size, in every form
GPU_BATCHES = (1, 32, 256)

Setup = tuple[str, PredictorName, tuple[int, ...]]  # backbone, predictor, resolutions
FULL: Setup = ("resnet50", "resnet10", (224, 168, 112))
QUICK: Setup = ("digit_resnet", "small", (32, 24, 16))


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures S_wall / S_theory, the published way, and memory.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Time a small network in seconds, to check that the benchmark runs; its figures are not meaningful.
    """
    setup, rounds = (QUICK, 1) if quick else (FULL, 7)
    network, device = fixed_network(*setup), inference_device("auto")
    rows: list[Row] = []
    for number in (1, 2) if threads is None else (threads,):
        with limited_threads(number):
            for batch_size, target in TARGETS.items():
                rows += clock_rows(network, batch_size, rounds, target=target)
    rows += deployed_rows(network, (1, 2) if threads is None else (threads,), rounds)
    if device.type != "cpu":
        for batch_size in GPU_BATCHES:
            rows += clock_rows(network.to(device), batch_size, rounds)
    return rows + memory_rows(setup)


def fixed_network(backbone: str, predictor: PredictorName, resolutions: tuple[int, ...]) -> DRNet:
    """Builds a DRNet with random weights for `NUM_CLASSES` classes, ready to be timed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = DRNet(backbone, num_classes=NUM_CLASSES, resolutions=resolutions, predictor=predictor)
    return network.eval().to(memory_format=torch.channels_last)


def mixed_routes(count: int) -> Tensor:
    """Returns shuffled routes (count,) with the shares of `MIX`."""
    first, second = round(MIX[0] * count), round(MIX[1] * count)
    routes = torch.tensor([0] * first + [1] * second + [2] * (count - first - second))
    return routes[torch.randperm(count, generator=torch.Generator().manual_seed(0))]


@torch.inference_mode()
def clock_rows(network: DRNet, batch_size: int, rounds: int, *, target: float | None = None) -> list[Row]:
    """Times the static network, the routed one, and the published way, in turn, at one batch size."""
    count, device = max(batch_size, SINGLES), device_of(network)
    routes, images = mixed_routes(count), random_images(count, network.resolutions[0]).to(device)
    static = network.plain_network().eval()
    batches = list(zip(torch.split(images, batch_size), torch.split(routes, batch_size), strict=True))

    def over_batches(run: Callable[[Tensor, Tensor], object]) -> Callable[[], None]:
        def all_batches() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
                for part, part_routes in batches:
                    run(part, part_routes)

        return all_batches

    seconds = time_in_turn(
        {
            "static": over_batches(lambda part, _: static(part)),
            "routed": over_batches(lambda part, part_routes: decide_and_run(network, part, part_routes)),
            "masked": over_batches(lambda part, part_routes: run_masked(network, part, part_routes)),
        },
        rounds=rounds,
    )
    where = threads_text(torch.get_num_threads()) if device.type == "cpu" else device_name(device)
    return _ratio_rows(f"eager, batch {batch_size}, {where}", seconds, saving_in_theory(network, routes), count, target)


def deployed_rows(network: DRNet, threads: Sequence[int], rounds: int) -> list[Row]:
    """Times the exported network, static and routed, in turn; no rows where the export extra is not installed."""
    rows: list[Row] = []
    export = partial(export_drnet, network)
    with export_to_time(export, image_px=network.resolutions[0], num_classes=NUM_CLASSES) as folder:
        if folder is None:
            return rows
        for number in threads:
            runner = OnnxDRNet(folder, threads=number)
            for batch_size, target in TARGETS.items():
                rows += _deployed_rows(network, runner, batch_size, rounds, target, threads_text(number))
    return rows


def _deployed_rows(
    network: DRNet, runner: OnnxDRNet, batch_size: int, rounds: int, target: float, where: str
) -> list[Row]:
    count = max(batch_size, SINGLES)
    routes, images = mixed_routes(count).numpy(), random_images(count, network.resolutions[0]).contiguous().numpy()
    starts = range(0, count, batch_size)
    batches = [(images[i : i + batch_size], routes[i : i + batch_size]) for i in starts]

    def static() -> None:
        for part, part_routes in batches:
            runner.run(part, np.zeros_like(part_routes))

    def routed() -> None:
        for part, part_routes in batches:
            runner.decide(runner.scores(part))
            runner.run(part, part_routes)

    seconds = time_in_turn({"static": static, "routed": routed}, rounds=rounds)
    theory = saving_in_theory(network, torch.from_numpy(routes))
    return _ratio_rows(f"deployed, batch {batch_size}, {where}", seconds, theory, count, target)


def saving_in_theory(network: DRNet, routes: Tensor) -> float:
    """Returns S_theory: the share of the static network's multiply-adds that these routes save, decision included."""
    return 1 - float(network.costs.of(routes).mean()) / network.costs.plain


def _ratio_rows(
    setting: str, seconds: Mapping[str, float], theory: float, count: int, target: float | None
) -> list[Row]:
    rows = saving_rows(setting, seconds["static"] / count, seconds["routed"] / count, theory, target)
    if "masked" in seconds:
        published = seconds["masked"] / seconds["routed"]
        rows.append(Row(f"published way (all resolutions, masked) / routed, {setting}", published, "ratio"))
    return rows


def decide_and_run(network: DRNet, images: Tensor, routes: Tensor) -> Tensor:
    """Decides, so that this cost counts, but runs the given routes, so that the mix is fixed."""
    network.policy.decide(network.scores(images), 0.0)
    return network.run(images, routes)


def run_masked(network: DRNet, images: Tensor, routes: Tensor) -> Tensor:
    """Runs every resolution on every image and sums the masked results, as the published evaluation code does."""
    network.scores(images)
    chosen = nn.functional.one_hot(routes, len(network.resolutions)).to(images)  # (B, R)
    return (network.every_resolution(images) * chosen[:, :, None]).sum(dim=1)


def random_images(count: int, side: int) -> Tensor:
    """Returns channels-last noise (count, 3, side, side)."""
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return images.to(memory_format=torch.channels_last)


def memory_rows(setup: Setup) -> list[Row]:
    """Measures the peak memory of one batch, routed and static, each in its own process."""
    static = peak_memory(static_work, setup) / 2**20
    routed = peak_memory(routed_work, setup) / 2**20
    return [
        Row(f"peak memory of the static network, batch {BATCH}", static, "MiB"),
        Row(f"peak memory of the routed network, batch {BATCH}", routed, "MiB"),
        Row("peak memory, routed / static", routed / static, "ratio", 1.0, "at most"),
    ]


def static_work(setup: Setup) -> Callable[[], object]:
    """Prepares one batch through the static network."""
    return _work(setup, lambda network: network.plain_network().eval())


def routed_work(setup: Setup) -> Callable[[], object]:
    """Prepares one routed batch."""
    routes = mixed_routes(BATCH)
    return _work(setup, lambda network: lambda images: decide_and_run(network, images, routes))


def _work(setup: Setup, choose: Callable[[DRNet], Callable[[Tensor], object]]) -> Callable[[], object]:
    torch.set_num_threads(1)  # scratch memory grows with threads
    network = fixed_network(*setup)
    run, images = choose(network), random_images(BATCH, network.resolutions[0])

    def once() -> None:
        with torch.inference_mode():
            run(images)

    return once
