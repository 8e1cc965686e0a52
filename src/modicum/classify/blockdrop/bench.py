"""What BlockDrop saves on the clock: CIFAR's ResNet-110 with keep-vectors of 17 to 21 of its 54 blocks.

Everything is compared with the same static network with all its blocks, under the same settings, timed in turn in one
run; the policy network is paid for, and the routes are given. Two forms are timed on the CPU: *eager* is PyTorch in
inference mode, channels-last, normalisation not folded, not compiled; *deployed* is what `modicum export` writes, with
normalisation folded, one graph per block, on ONNX Runtime, where the static network is one graph. On a GPU: eager with
bfloat16 autocast.
"""
# B batch, U droppable blocks

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from modicum.adaptive.contract import device_of
from modicum.classify.blockdrop.export import export_blockdrop
from modicum.classify.blockdrop.network import BlockDrop, Form
from modicum.classify.blockdrop.paths import StaticPaths
from modicum.classify.blockdrop.plans import Bypassable, MaskedPlan
from modicum.classify.blockdrop.policies import PolicyName
from modicum.classify.blockdrop.runner import OnnxBlockDrop
from modicum.exporting.writing import export_to_time
from modicum.measuring.rows import Row, saving_rows
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.training.devices import inference_device

NUM_CLASSES = 10
SINGLES = 20  # images at batch size 1
KEPT_SHARES = (17 / 54, 18 / 54, 19 / 54, 20 / 54, 21 / 54)  # of the blocks, by policy in turn
FEW = 10  # distinct policies, as many as remain after training on ImageNet
TARGET = 0.88  # of S_wall / S_theory, eager on the CPU, at batch sizes 1 and 64
BATCHES, GPU_BATCHES = (1, 64), (1, 64, 1024)

Setup = tuple[str, PolicyName, int, int]  # backbone, policy network, side of the images, rounds
FULL: Setup = ("cifar_resnet110_pool", "resnet8", 32, 7)
QUICK: Setup = ("cifar_resnet8_pool", "small", 16, 1)


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures S_wall / S_theory, the published way, and other ways to group images.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Time a small network in seconds, to check that the benchmark runs; its figures are not meaningful.
    """
    backbone, policy, side, rounds = QUICK if quick else FULL
    network, device = fixed_network(backbone, policy, side), inference_device("auto")
    numbers = (1, 2) if threads is None else (threads,)
    rows: list[Row] = []
    for number in numbers:
        with limited_threads(number):
            for batch_size in BATCHES:
                rows += clock_rows(network, batch_size, rounds, target=TARGET)
            rows += clock_rows(network, max(BATCHES), rounds, distinct=FEW, target=TARGET)
    rows += deployed_rows(network, numbers, rounds)
    if device.type != "cpu":
        for batch_size in GPU_BATCHES:
            rows += clock_rows(network.to(device), batch_size, rounds)
    return rows


def fixed_network(backbone: str, policy: PolicyName, side: int) -> BlockDrop:
    """Builds a BlockDrop with random weights for `NUM_CLASSES` classes, ready to be timed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = BlockDrop(backbone, num_classes=NUM_CLASSES, image_px=side, policy=policy)
    return network.eval().to(memory_format=torch.channels_last)


def varied_routes(count: int, num_blocks: int, distinct: int) -> Tensor:
    """Keep-vectors (count, num_blocks) that repeat ``distinct`` random ones, whose sizes go through `KEPT_SHARES`."""
    generator = torch.Generator().manual_seed(0)
    policies = torch.zeros(distinct, num_blocks, dtype=torch.bool)
    for number, policy in enumerate(policies):
        kept = round(KEPT_SHARES[number % len(KEPT_SHARES)] * num_blocks)
        policy[torch.randperm(num_blocks, generator=generator)[:kept]] = True
    return policies[torch.arange(count) % distinct]


@torch.inference_mode()
def clock_rows(
    network: BlockDrop, batch_size: int, rounds: int, *, distinct: int | None = None, target: float | None = None
) -> list[Row]:
    """Times the static network, the routed one, the published way and other groupings, in turn, at one batch size.

    Args:
        network: In evaluation mode, on the device to measure.
        batch_size: Images per call.
        rounds: Readings of each, of which the median counts.
        distinct: Different policies among the images; None gives each image its own.
        target: What S_wall / S_theory must reach.
    """
    count, device = max(batch_size, SINGLES), device_of(network)
    distinct = distinct or count
    routes = varied_routes(count, len(network.costs.per_unit), distinct)
    images = random_images(count, network.image_px).to(device)
    batches = list(zip(torch.split(images, batch_size), torch.split(routes, batch_size), strict=True))
    static = network.plain_network().eval()
    paths = StaticPaths(network, capacity=distinct)

    def over_batches(run: Callable[[Tensor, Tensor], object]) -> Callable[[], None]:
        def all_batches() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
                for part, part_routes in batches:
                    run(part, part_routes)

        return all_batches

    runs: dict[str, Callable[[Tensor, Tensor], object]] = {
        "static": lambda part, _: static(part),
        "routed": lambda part, part_routes: decide_and_run(network, part, part_routes),
        "masked": lambda part, part_routes: run_published(network, part, part_routes),
    }
    if batch_size > 1:
        runs["unsorted"] = lambda part, part_routes: decide_and_run(network, part, part_routes, form="selected")
        runs["whole"] = lambda part, part_routes: run_whole(network, paths, part, part_routes)
    seconds = time_in_turn({name: over_batches(run) for name, run in runs.items()}, rounds=rounds)
    where = threads_text(torch.get_num_threads()) if device.type == "cpu" else device_name(device)
    setting = f"eager channels-last, batch {batch_size}, {_policies_text(batch_size, distinct)}, {where}"
    return _ratio_rows(setting, seconds, saving_in_theory(network, routes), count, target)


def _policies_text(batch_size: int, distinct: int) -> str:
    return f"{min(distinct, batch_size)} distinct policies" if batch_size > 1 else "varied policies"


def deployed_rows(network: BlockDrop, threads: Sequence[int], rounds: int) -> list[Row]:
    """Times the exported network, static and routed, in turn; no rows where the export extra is not installed.

    The static network is the graph of the policy that keeps every block, so both are what the exporter wrote.
    """
    rows: list[Row] = []
    every = torch.ones(1, len(network.costs.per_unit), dtype=torch.bool)
    export = partial(export_blockdrop, network, frequent=every)
    with export_to_time(export, image_px=network.image_px, num_classes=NUM_CLASSES) as folder:
        if folder is None:
            return rows
        for number in threads:
            runner = OnnxBlockDrop(folder, threads=number)
            for batch_size in BATCHES:
                rows += _deployed_rows(network, runner, batch_size, rounds, threads_text(number))
    return rows


def _deployed_rows(network: BlockDrop, runner: OnnxBlockDrop, batch_size: int, rounds: int, where: str) -> list[Row]:
    count = max(batch_size, SINGLES)
    keep = varied_routes(count, runner.num_blocks, count).numpy()
    images = random_images(count, network.image_px).contiguous().numpy()
    batches = [(images[i : i + batch_size], keep[i : i + batch_size]) for i in range(0, count, batch_size)]
    all_blocks = torch.ones(batch_size, runner.num_blocks, dtype=torch.bool).numpy()

    def static() -> None:
        for part, _ in batches:
            runner.run(part, all_blocks)

    def routed() -> None:
        for part, part_keep in batches:
            runner.decide(runner.scores(part))
            runner.run(part, part_keep)

    def by_blocks() -> None:
        for part, _ in batches:
            runner.run_by_blocks(part, all_blocks)

    seconds = time_in_turn({"static": static, "routed": routed, "all by blocks": by_blocks}, rounds=rounds)
    theory = saving_in_theory(network, torch.from_numpy(keep))
    setting = f"deployed, batch {batch_size}, {_policies_text(batch_size, count)}, {where}"
    return _ratio_rows(setting, seconds, theory, count, None)


def saving_in_theory(network: BlockDrop, routes: Tensor) -> float:
    """Returns S_theory: the share of the static network's multiply-adds that these routes save, decision included."""
    return 1 - float(network.costs.of(routes).mean()) / network.costs.plain


_COMPARED = {
    "masked": "published way (each block for all images if any keeps it, masked)",
    "unsorted": "images not sorted by policy before each block selects",
    "whole": "images grouped by whole policy",
    "all by blocks": "static network run block by block",
}


def _ratio_rows(
    setting: str, seconds: Mapping[str, float], theory: float, count: int, target: float | None
) -> list[Row]:
    rows = saving_rows(setting, seconds["static"] / count, seconds["routed"] / count, theory, target)
    for name, text in _COMPARED.items():
        if name in seconds:
            rows.append(Row(f"{text}, {setting}", 1000 * seconds[name] / count, "ms/image"))
            rows.append(Row(f"{text} / routed, {setting}", seconds[name] / seconds["routed"], "ratio"))
    return rows


def decide_and_run(network: BlockDrop, images: Tensor, routes: Tensor, *, form: Form = "sorted") -> Tensor:
    """Decides, so that this cost counts, but runs the given routes, so that the savings are fixed."""
    network.policy.decide(network.scores(images), 0.0)
    return network.run(images, routes, form=form)


def run_whole(network: BlockDrop, paths: StaticPaths, images: Tensor, routes: Tensor) -> Tensor:
    """As `decide_and_run`, each group of images with one policy through a plain network of its own."""
    network.policy.decide(network.scores(images), 0.0)
    return paths.run(images, routes)


class PublishedPlan:
    """The way of the published code: a block that any image keeps is computed for all of them and masked.

    Args:
        keep: Shape (B, U), bool.
        device: Of the images.
    """

    def __init__(self, keep: Tensor, device: torch.device) -> None:
        self._is_needed: list[bool] = keep.any(dim=0).tolist()
        self._masked = MaskedPlan(keep.to(device, torch.float32))

    def run(self, unit: Bypassable, x: Tensor) -> Tensor:
        """Returns the blend of block and shortcut, or the shortcut if no image keeps the block."""
        if self._is_needed[unit.index]:
            return self._masked.run(unit, x)
        passed: Tensor = unit.shortcut(x)
        return passed


def run_published(network: BlockDrop, images: Tensor, routes: Tensor) -> Tensor:
    """Decides and runs as the published code does, on the given routes."""
    network.policy.decide(network.scores(images), 0.0)
    with network.switch.following(PublishedPlan(routes, images.device)):
        logits: Tensor = network.backbone(images)
    return logits


def random_images(count: int, side: int) -> Tensor:
    """Returns channels-last noise (count, 3, side, side)."""
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return images.to(memory_format=torch.channels_last)
